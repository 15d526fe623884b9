import { expect, test } from "vitest";
import { excluder } from "../../src/rootfs/folder/exclude.js";

test.each([
  ["name", "name", true],
  ["name", "deep/name", true],
  ["name", "names", false],
  ["name", "name/below", false],
  ["*.log", "deep/a.log", true],
  ["*.log", "a.log.txt", false],
  ["a?c", "abc", true],
  ["a?c", "a/c", false],
  ["/top", "top", true],
  ["/top", "deep/top", false],
  ["./top", "top", true],
  ["deep/name", "deep/name", true],
  ["deep/name", "very/deep/name", false],
  ["**/name", "very/deep/name", true],
  ["**/name", "name", true],
  ["deep/**", "deep/very/name", true],
  ["deep/**", "deep", false],
  ["a/**/b", "a/b", true],
  ["a/**/b", "a/x/y/b", true],
  ["a.b", "axb", false],
  ["(x)[y]", "(x)[y]", true],
  ["line\nbreak", "line\nbreak", true],
])("%j fits %j: %s", (pattern, path, expected) => {
  expect(excluder([pattern])(path, false)).toBe(expected);
});

test("a slash at the end means folders alone", () => {
  expect(excluder(["build/"])("deep/build", true)).toBe(true);
  expect(excluder(["build/"])("deep/build", false)).toBe(false);
  expect(excluder([""])("name", false)).toBe(false);
});
