import { expect, test } from "vitest";
import { changeMode, parseMode } from "../../../src/build/copy/chmod.js";
import type { TreeNode } from "../../../src/build/tree/index.js";

const node = (mode: number, type: TreeNode["type"] = "file") => ({ mode, type }) as TreeNode;

test.each([
  ["755", 0o600, 0o755],
  ["00644", 0o777, 0o644],
  ["4755", 0o600, 0o4755],
  ["u+x", 0o644, 0o744],
  ["+x", 0o644, 0o755],
  ["a-w", 0o666, 0o444],
  ["go=", 0o777, 0o700],
  ["u=rw,go=r", 0o777, 0o644],
  ["u=rwX,go=rX", 0o600, 0o644],
  ["u=rwX,go=rX", 0o700, 0o755],
  ["g=u", 0o640, 0o660],
  ["u+s,g+s,+t", 0o755, 0o7755],
  ["u=rx", 0o4755, 0o555],
  ["u-x+w", 0o500, 0o600],
])("%s makes %o %o", (text, before, after) => {
  expect(changeMode(node(before), parseMode(text)).toString(8)).toBe(after.toString(8));
});

test("X is for folders too", () => {
  expect(changeMode(node(0o600, "directory"), parseMode("a+X")).toString(8)).toBe("711");
});

test.each(["", "9", "77777", "u", "u+q", "rwx"])("%j is no mode", (text) => {
  expect(() => parseMode(text)).toThrow("is no mode");
});
