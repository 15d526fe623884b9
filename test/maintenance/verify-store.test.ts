import { appendFileSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { verifyStore } from "../../src/maintenance/index.js";
import type { ProgressEvent } from "../../src/progress.js";
import { acquireLock } from "../../src/store/index.js";
import { StoreFixture } from "./store-fixture.js";

const BAKED = "0123456789abcdef".repeat(4);

let store: StoreFixture;
let layer: { diffId: string; path: string };
let snapshot: string;
let template: string;

beforeEach(async () => {
  store = new StoreFixture();
  layer = await store.layer("base", 50_000);
  template = store.template("key");
  snapshot = await store.snapshot("python", [layer], { key: BAKED, manifestDigest: store.document({ config: {} }) });
});
afterEach(() => store[Symbol.dispose]());

/** What is wrong, as `KIND ITEM: PROBLEM`. */
const problems = async (fix = false) =>
  (await verifyStore({ fix })).problems.map(({ kind, item, problem }) => `${kind} ${item}: ${problem}`);

/** Changes one byte, as a failing disk does. */
function corrupt(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

test("an intact store has no problems, and all of it was looked at", async () => {
  store.tag("docker.io/library/python:test", "sha256:0");
  await store.snapshot("second", [layer]);
  expect(await verifyStore()).toEqual({
    problems: [],
    checked: { layers: 1, templates: 1, documents: 1, tags: 1, snapshots: 2 },
  });
});

test("an empty one has none either", async () => {
  rmSync(store.path, { recursive: true });
  expect((await verifyStore()).problems).toEqual([]);
});

describe("is found, and removed on request so that it is made anew:", () => {
  test.each<[string, () => string, (path: string) => void, RegExp]>([
    ["a layer with a changed byte", () => layer.path, (path) => corrupt(path, 9000), /layer sha256:.*checksum/],
    ["a layer with a changed first block", () => layer.path, (path) => corrupt(path, 1030), /layer .*first block/],
    ["a truncated layer", () => layer.path, (path) => truncateSync(path, 8192), /layer .*8192 bytes instead of/],
    ["a layer that is something else", () => layer.path, (path) => writeFileSync(path, "x"), /layer .*first block/],
    ["a template without RAM", () => template, (path) => rmSync(join(path, "ram.img")), /template key: .*missing/],
    ["a template whose RAM was written to", () => template, (path) => corrupt(join(path, "ram.img"), 1), /changed/],
    ["a template's device state", () => template, (path) => corrupt(join(path, "device.state"), 3), /device state/],
    ["a template's description", () => template, (path) => corrupt(join(path, "template.json"), 0), /description/],
    ["a snapshot's delta", () => snapshot, (path) => corrupt(join(path, "memory.delta"), 100), /python: .*delta/],
    ["a snapshot without delta", () => snapshot, (path) => rmSync(join(path, "memory.delta")), /python: .*ENOENT/],
    [
      "a snapshot's device state",
      () => snapshot,
      (path) => corrupt(join(path, "device.state"), 3),
      /python: its device/,
    ],
    ["a snapshot's metadata", () => snapshot, (path) => corrupt(join(path, "metadata.json"), 0), /python: .*damaged/],
    ["a tag", () => store.tag("a:1", "sha256:0"), (path) => truncateSync(path, 20), /tag .*: .*cannot be read/],
  ])("%s", async (_, find, damage, expected) => {
    const path = find();
    damage(path);
    const [found] = await problems();
    expect(found).toMatch(expected);
    expect(existsSync(path)).toBe(true);
    expect((await verifyStore({ fix: true })).problems[0]).toMatchObject({ path, fixed: true });
    expect(existsSync(path)).toBe(false);
  });

  test("a layer of version 0.1 is not, for it has no checksum of its content; its length is compared", async () => {
    const bytes = readFileSync(layer.path);
    const older = store.put(`layers/${basename(layer.path).replace(".v2.", ".v1.")}`, bytes.fill(0, 0, 12));
    expect(await problems(true)).toEqual([]);
    expect(existsSync(older)).toBe(true);
    truncateSync(older, 8192);
    expect(await problems()).toEqual([expect.stringMatching(/layer .*8192 bytes instead of/)]);
    // One of this version has to have it.
    writeFileSync(layer.path, bytes);
    expect(await problems()).toContainEqual(expect.stringMatching(/checksum of the content is missing/));
  });

  test("a document with other content", async () => {
    const path = join(store.path, "blobs", store.document({ a: 1 }).replace(":", "/"));
    appendFileSync(path, " ");
    expect(await problems()).toEqual([`document sha256:${basename(path)}: its content has another digest`]);
    await problems(true);
    expect(existsSync(path)).toBe(false);
  });
});

describe("what refers to something that is missing:", () => {
  test("a snapshot without its layer is kept, for a pull makes the layer again", async () => {
    rmSync(layer.path);
    const { problems: found } = await verifyStore({ fix: true });
    expect(found).toMatchObject([{ kind: "snapshot", item: "python", fixed: false }]);
    expect(found[0]?.problem).toMatch(`its layer ${layer.path} is missing`);
    expect(found[0]?.advice).toMatch("pull of oci-archive:python.tar");
    await store.layer("base", 50_000);
    expect(await problems()).toEqual([]);
  });

  test("a damaged layer is removed, and then its snapshots are reported too", async () => {
    corrupt(layer.path, 9000);
    const found = (await verifyStore({ fix: true })).problems;
    expect(found.map(({ kind, fixed }) => [kind, fixed])).toEqual([
      ["layer", true],
      ["snapshot", false],
    ]);
  });

  test.each(["gone", "of another boot"])("a baked snapshot whose template is %s goes", async (how) => {
    if (how === "gone") rmSync(template, { recursive: true });
    else store.template("key", "another boot");
    expect(await problems()).toEqual(["snapshot python: the template that it is based on is gone or was made anew"]);
    await problems(true);
    expect(existsSync(snapshot)).toBe(false);
    expect(await problems()).toEqual([]);
  });

  test("the state of a VM that ran is never removed for it", async () => {
    const captured = await store.snapshot("captured", [], { key: "0b0f8a3e-uuid" });
    rmSync(template, { recursive: true });
    await verifyStore({ fix: true });
    expect(existsSync(captured)).toBe(true);
    expect(existsSync(snapshot)).toBe(false);
  });
});

describe("beside other processes:", () => {
  test("what another version of this program wrote is not judged", async () => {
    store.put("snapshots/newer/metadata.json", JSON.stringify({ schema: 2 }));
    store.put("snapshots/no-snapshot/file");
    expect(await problems(true)).toEqual([]);
    expect(existsSync(join(store.path, "snapshots/newer/metadata.json"))).toBe(true);
  });

  test("a snapshot that is just being replaced is waited for", async () => {
    const lock = await acquireLock(`${snapshot}.lock`);
    const file = join(snapshot, "device.state");
    const state = readFileSync(file);
    writeFileSync(file, "half");
    const verifying = problems(true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    writeFileSync(file, state);
    await lock[Symbol.asyncDispose]();
    expect(await verifying).toEqual([]);
  });

  test("progress is told in bytes, and a signal ends it", async () => {
    await store.layer("second");
    const events: ProgressEvent[] = [];
    await verifyStore({ onProgress: (event) => events.push(event) });
    const last = events.at(-1);
    expect(last).toMatchObject({ phase: "verify", item: "2 layers", finished: true });
    expect(last?.done).toBe(last?.total);
    expect(events.filter(({ finished }) => finished)).toHaveLength(1);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(verifyStore({ signal })).rejects.toThrow("enough");
  });
});
