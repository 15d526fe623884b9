import { describe, expect, test } from "vitest";
import { sourceDateEpoch } from "../../../src/build/options.js";
import { imageNames, parseBuildOutput } from "../../../src/build/output/index.js";
import { UsageError } from "../../../src/errors.js";

describe("an output", () => {
  test.each<[string, object]>([
    ["out", { type: "local", dest: "out" }],
    ["type=local,dest=out", { type: "local", dest: "out" }],
    ["dest=a b.tar,type=oci", { type: "oci", dest: "a b.tar" }],
    ["type=oci,dest=x,tar=false,squash=true", { type: "oci", dest: "x", tar: false, squash: true }],
    ["type=docker,dest=x,squash=false", { type: "docker", dest: "x", squash: false }],
    ["type=erofs,dest=x", { type: "erofs", dest: "x" }],
    ["type=squashfs,dest=-", { type: "squashfs", dest: "-" }],
    ["-", { type: "tar", dest: "-" }],
    ["type=tar", { type: "tar", dest: "-" }],
    ["type=oci", { type: "oci", dest: "-" }],
  ])("%s", (text, expected) => {
    expect(parseBuildOutput(text)).toEqual(expected);
  });

  test.each<[string, string]>([
    ["", "is no setting"],
    ["type=docker", "needs the path"],
    ["type=local,dest=-", "a folder cannot go to standard output"],
    ["type=oci,tar=false", "a folder cannot go to standard output"],
    ["type=registry,dest=x", "its type is none of"],
    ["dest=x", "its type is none of"],
    ["type=tar,dest=x,dest=y", "dest is given twice"],
    ["type=tar,dest=x,squash=true", "has no layers"],
    ["type=docker,dest=x,tar=false", "tar is a setting of the type oci"],
    ["type=oci,dest=x,tar=yes", "tar is true or false"],
    ["type=oci,dest=x,colour=red", "is no setting"],
  ])("%j is refused", (text, words) => {
    expect(() => parseBuildOutput(text)).toThrow(UsageError);
    expect(() => parseBuildOutput(text)).toThrow(words);
  });
});

test("the names of an image in an archive are docker's, each once", () => {
  expect(imageNames([])).toEqual([{ tag: "latest" }]);
  expect(imageNames(["app", "app:latest", "example.org/a/b:1.0"])).toEqual([
    { tag: "latest", full: "docker.io/library/app:latest" },
    { tag: "1.0", full: "example.org/a/b:1.0" },
  ]);
  expect(() => imageNames([`app@sha256:${"a".repeat(64)}`])).toThrow(UsageError);
});

test("SOURCE_DATE_EPOCH is an argument or a variable", () => {
  expect(sourceDateEpoch({}, {})).toBeUndefined();
  expect(sourceDateEpoch({}, { SOURCE_DATE_EPOCH: "5" })).toBe(5);
  expect(sourceDateEpoch({ buildArgs: { SOURCE_DATE_EPOCH: "6" } }, { SOURCE_DATE_EPOCH: "5" })).toBe(6);
  expect(() => sourceDateEpoch({}, { SOURCE_DATE_EPOCH: "today" })).toThrow("seconds since 1970");
});
