import { expect, test } from "vitest";
import { OutputLines } from "../../../src/cli/progress/output-lines.js";

const from = (text: string | Buffer, stream: "stdout" | "stderr" = "stdout", number = 1) => ({
  number,
  stream,
  bytes: Buffer.from(text as string),
});

test("a line is given when it is whole, the rest when the step ends", () => {
  const lines = new OutputLines();
  expect(lines.take(from("one\ntw"))).toEqual(["one"]);
  expect(lines.begun(1)).toBe("tw");
  expect(lines.take(from("o\r\nthree"))).toEqual(["two"]);
  expect(lines.end(1)).toEqual(["three"]);
  expect(lines.end(1)).toEqual([]);
  expect(lines.begun(1)).toBeUndefined();
});

test("a character that comes in two pieces is whole", () => {
  const lines = new OutputLines();
  const bytes = Buffer.from("世\n");
  expect(lines.take(from(bytes.subarray(0, 2)))).toEqual([]);
  expect(lines.take(from(bytes.subarray(2)))).toEqual(["世"]);
});

test("lines of two streams and of two steps are not mixed", () => {
  const lines = new OutputLines();
  lines.take(from("out"));
  lines.take(from("err", "stderr"));
  lines.take(from("other", "stdout", 2));
  expect(lines.take(from("put\n"))).toEqual(["output"]);
  expect(lines.take(from("or\n", "stderr"))).toEqual(["error"]);
  expect(lines.end(2)).toEqual(["other"]);
});

test("a bar that is drawn over again and again takes no space, and shows where it is", () => {
  const lines = new OutputLines();
  for (let percent = 0; percent < 100; percent++)
    expect(lines.take(from(`\r${"#".repeat(1000)}${percent}`))).toEqual([]);
  expect(lines.begun(1)).toBe(`${"#".repeat(1000)}99`);
});

test("a line without end is given in pieces", () => {
  const lines = new OutputLines();
  expect(lines.take(from("x".repeat(20_000)))).toEqual(["x".repeat(20_000)]);
  expect(lines.end(1)).toEqual([]);
});
