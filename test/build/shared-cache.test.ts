import { expect, test } from "vitest";
import { formatSharedSteps, parseSharedSteps } from "../../src/build/shared-cache/format.js";
import { parseCacheSource, parseCacheTarget } from "../../src/build/shared-cache/index.js";
import { ImageError, UsageError } from "../../src/errors.js";

test.each<[string, object]>([
  ["type=local,src=dir", { type: "local", src: "dir" }],
  ["src=a b,type=local", { type: "local", src: "a b" }],
  ["type=registry,ref=example.org/a:cache", { type: "registry", ref: "example.org/a:cache" }],
  ["example.org/a:cache", { type: "registry", ref: "example.org/a:cache" }],
])("--cache-from %s", (text, expected) => {
  expect(parseCacheSource(text)).toEqual(expected);
});

test.each<[string, object]>([
  ["type=local,dest=dir", { type: "local", dest: "dir", mode: "min" }],
  ["type=registry,ref=a/b,mode=max", { type: "registry", ref: "a/b", mode: "max" }],
])("--cache-to %s", (text, expected) => {
  expect(parseCacheTarget(text)).toEqual(expected);
});

test.each<[string, string]>([
  ["", "is no setting"],
  ["type=inline", "neither local nor registry"],
  ["dest=x", "neither local nor registry"],
  ["type=local", "needs dest=FOLDER"],
  ["type=registry", "needs ref=NAME"],
  ["type=local,dest=a,dest=b", "dest is given twice"],
  ["type=local,dest=a,mode=all", "mode is min or max"],
  ["type=local,dest=a,src=b", "src is no setting of the type local"],
  ["type=registry,ref=a,dest=b", "dest is no setting of the type registry"],
])("--cache-to %j is refused", (text, words) => {
  expect(() => parseCacheTarget(text)).toThrow(UsageError);
  expect(() => parseCacheTarget(text)).toThrow(words);
});

test("a name that no registry could have is refused", () => {
  expect(() => parseCacheSource("type=registry,ref=A B")).toThrow(ImageError);
});

test("a list of steps is read as it was written, whatever their order, and nothing else is", () => {
  const [createdAt, layer] = ["2026-01-02T03:04:05.000Z", `sha256:${"b".repeat(64)}` as const];
  const steps = ["2", "1"].map((digit) => ({ key: digit.repeat(64), layer: digit === "1" ? null : layer, createdAt }));
  const bytes = formatSharedSteps(steps);
  expect(formatSharedSteps(steps.toReversed())).toEqual(bytes);
  expect(parseSharedSteps(bytes, "it")).toEqual(steps.toReversed());
  const changed = (change: object) =>
    Buffer.from(JSON.stringify({ schemaVersion: 1, steps: [{ ...steps[0], ...change }] }));
  for (const change of [{ key: "../x" }, { layer: "../../etc/passwd" }, { layer: 1 }, { createdAt: "today" }]) {
    expect(() => parseSharedSteps(changed(change), "it")).toThrow(ImageError);
  }
  expect(() => parseSharedSteps(Buffer.from("{}"), "it")).toThrow("malformed");
});
