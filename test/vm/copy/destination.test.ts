import { expect, test } from "vitest";
import { copyDestination } from "../../../src/vm/copy/destination.js";

/** The rules of docker cp: https://docs.docker.com/reference/cli/docker/container/cp/ */
test.each([
  ["file", "/a/b", "nothing", "/a/b"],
  ["file", "/a/b", "file", "/a/b"],
  ["file", "/a/b", "folder", "/a/b/name"],
  ["file", "/a/b/", "folder", "/a/b/name"],
  ["file", "/", "folder", "/name"],
  ["folder", "/a/b", "nothing", "/a/b"],
  ["folder", "/a/b/", "nothing", "/a/b"],
  ["folder", "/a/b", "folder", "/a/b/name"],
  ["folder", "/a/b/", "folder", "/a/b/name"],
  ["contents", "/a/b", "nothing", "/a/b"],
  ["contents", "/a/b", "folder", "/a/b"],
  ["contents", "/a/../b/.", "folder", "/b"],
  ["contents", "/", "folder", "/"],
] as const)("a %s to %s, where there is a %s, becomes %s", (kind, path, present, expected) => {
  expect(copyDestination({ kind, name: "name" }, path, present, Error)).toBe(expected);
});

test.each([
  ["file", "/a/b/", "nothing", "ENOENT"],
  ["file", "/a/b/", "file", "ENOTDIR"],
  ["folder", "/a/b", "file", "ENOTDIR"],
  ["contents", "/a/b", "file", "ENOTDIR"],
] as const)("a %s cannot go to %s, where there is a %s", (kind, path, present, errno) => {
  const refuse = (code: string, message: string) => new Error(`${code}: ${message}`);
  expect(() => copyDestination({ kind, name: "name" }, path, present, refuse)).toThrow(errno);
});
