import { expect, test } from "vitest";
import { shownLine } from "../src/shown-line.js";

test.each([
  ["words as they are", "10 % of ünïcödé 世界 👍", "10 % of ünïcödé 世界 👍"],
  ["colours", "\x1b[1;31mred\x1b[0m", "red"],
  ["movements of the cursor", "a\x1b[2J\x1b[Hb\x1b[3Ac", "abc"],
  ["a title of the window", "a\x1b]0;owned\x07b", "ab"],
  ["controls of one byte", "a\x9b2Jb\x00\x07\x08c\x7f", "abc"],
  ["an unfinished sequence", "a\x1b", "a"],
  ["what a carriage return draws over", "10 %\r50 %\r100 %\r", "100 %"],
  ["separators of lines", "a\u2028b\u2029c\x85d\x0be", "abcde"],
  ["what turns the direction of writing", "a\u202eb\u2066c", "abc"],
  ["tabs", "a\tb", "a\tb"],
])("%s", (_what, line, shown) => {
  expect(shownLine(line)).toBe(shown);
});
