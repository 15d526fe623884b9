import { expect, test } from "vitest";
import { ScreenModes } from "../../../src/cli/terminal/screen-modes.js";

function undoAfter(...pieces: string[]): string {
  const screen = new ScreenModes();
  for (const piece of pieces) screen.write(piece);
  screen.resume();
  return screen.undo;
}

test("a program that leaves the terminal as it was needs nothing undone", () => {
  expect(undoAfter("plain text\r\n")).toBe("");
  expect(undoAfter("\x1b[?1049h\x1b[?25l\x1b[31mred\x1b[m\x1b[?25h\x1b[?1049l")).toBe("");
});

test("what an ended program left behind is undone: screen, mouse, paste, cursor, colour", () => {
  expect(undoAfter("\x1b[?1049h\x1b[?1002;1006h\x1b[?2004h")).toBe("\x1b[?1049l\x1b[?1002l\x1b[?1006l\x1b[?2004l");
  expect(undoAfter("\x1b[?25l")).toBe("\x1b[?25h");
  expect(undoAfter("\x1b[1;31mred")).toBe("\x1b[0m");
});

test("sequences are found wherever they are cut", () => {
  const text = "x\x1b[?1049hy";
  for (let cut = 1; cut < text.length; cut++) {
    expect(undoAfter(text.slice(0, cut), text.slice(cut))).toBe("\x1b[?1049l");
  }
  expect(undoAfter(...text)).toBe("\x1b[?1049l");
});

test("modes that are none of ours, and sequences without end, are passed over", () => {
  expect(undoAfter("\x1b[?12h\x1b[?7l\x1b[4h")).toBe("");
  expect(undoAfter(`\x1b[?${"1".repeat(1000)}`, "h")).toBe("");
});

test("output passes unchanged", () => {
  const screen = new ScreenModes();
  const passed: Buffer[] = [];
  screen.on("data", (chunk: Buffer) => passed.push(chunk));
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  screen.write(bytes);
  screen.write("\x1b[?10");
  screen.write("49h");
  expect(Buffer.concat(passed).equals(Buffer.concat([bytes, Buffer.from("\x1b[?1049h")]))).toBe(true);
});
