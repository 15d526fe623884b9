import { expect, test } from "vitest";
import { staysInside } from "../../../src/vm/copy/link-target.js";

test.each([
  [0, "file", true],
  [0, "./a/b", true],
  [0, "", true],
  [0, "..", false],
  [0, "/etc/passwd", false],
  [1, "..", true],
  [1, "../a", true],
  [1, ".././a", true],
  [1, "../../a", false],
  [2, "../../a", true],
  // Behind a name, which may be a link, nobody knows what the folder above is.
  [3, "a/../b", false],
  [3, "../a/..", false],
])("%i levels down, %j stays inside: %s", (depth, target, expected) => {
  expect(staysInside(depth, target)).toBe(expected);
});
