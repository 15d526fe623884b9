import { expect, test } from "vitest";
import { Tail } from "../../../src/engine/qemu/tail.js";

function tailOf(limit: number, ...chunks: (string | Buffer)[]): Tail {
  const tail = new Tail(limit);
  for (const chunk of chunks) tail.add(Buffer.from(chunk as string));
  return tail;
}

test("gives the last lines, without empty ones", () => {
  const tail = tailOf(1000, "one\r\ntwo\n\n   \nthree  \n");
  expect(tail.lines(2)).toBe("two\nthree");
  expect(tail.lines(10)).toBe("one\ntwo\nthree");
});

test("joins a line that comes in pieces, and has one that is not finished", () => {
  expect(tailOf(1000, "on", "e\ntw", "o").lines(2)).toBe("one\ntwo");
});

test("of a flood keeps the end alone, and counts all of it", () => {
  const tail = tailOf(18, ...Array.from({ length: 1000 }, (_, i) => `line ${i}\n`));
  expect(tail.lines(100)).toBe("line 998\nline 999");
  expect(tail.total).toBe(8890);
});

test("keeps the end of a single long line", () => {
  expect(tailOf(5, "x".repeat(100), "abc").lines(1)).toBe("xxabc");
});

test("has nothing that could disturb a terminal", () => {
  const text = tailOf(1000, Buffer.from("\x1b[31mred\x1b]0;title\x07\0\x80\x9b\xff\x7f tab\tend", "latin1")).lines(1);
  expect(text).toBe("[31mred]0;title tab\tend");
});

test("has nothing to say when nothing came", () => {
  const tail = new Tail(10);
  expect([tail.lines(5), tail.total]).toEqual(["", 0]);
});
