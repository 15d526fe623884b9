import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LogFile } from "../../src/daemon/log-file.js";
import { type OutputLine, OutputLog } from "../../src/daemon/output-log.js";
import { type LogOptions, readOutput } from "../../src/daemon/read-output.js";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-log-"));
  path = join(folder, "output");
});
afterEach(() => rmSync(folder, { recursive: true }));

async function write(...chunks: (string | Buffer)[]): Promise<void> {
  const log = new OutputLog(path);
  await log.keep(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), "stdout");
  await log.close();
}

async function texts(options: LogOptions = {}, isOver = async () => true): Promise<string[]> {
  const found: OutputLine[] = [];
  for await (const line of readOutput(path, options, isOver)) found.push(line);
  return found.map(({ text }) => text);
}

test("lines are kept whole, however they arrive", async () => {
  await write("on", "e\ntw", "o\n\nthree");
  expect(await texts()).toEqual(["one\n", "two\n", "\n", "three"]);
});

test("a character that arrives in two pieces stays one; what is no UTF-8 is replaced", async () => {
  const euro = Buffer.from("€\n");
  await write(euro.subarray(0, 1), euro.subarray(1), Buffer.from([0xff, 0x0a]));
  expect(await texts()).toEqual(["€\n", "\ufffd\n"]);
});

test("an endless line is kept in pieces", async () => {
  await write("x".repeat(40_000));
  expect((await texts()).map((text) => text.length)).toEqual([16_384, 16_384, 7_232]);
});

test("only the last lines, or those from a time on, are given when that is asked", async () => {
  await write("1\n2\n3\n");
  expect(await texts({ tail: 2 })).toEqual(["2\n", "3\n"]);
  expect(await texts({ tail: 0 })).toEqual([]);
  expect(await texts({ since: new Date(Date.now() + 60_000) })).toEqual([]);
  expect(await texts({ since: new Date(Date.now() - 60_000) })).toHaveLength(3);
});

test("a reader that follows gets what is written meanwhile, across a rotation, until the end", async () => {
  await write("before\n");
  const log = new OutputLog(path);
  let over = false;
  const following = texts({ follow: true }, async () => over);
  const large = "y".repeat(16_000);
  // A little more than one file holds.
  await log.keep(Readable.from(Array.from({ length: 700 }, (_, i) => Buffer.from(`${i} ${large}\n`))), "stderr");
  await log.keep(Readable.from([Buffer.from("after\n")]), "stdout");
  await log.close();
  over = true;
  const lines = await following;
  expect(lines).toHaveLength(702);
  expect([lines[0], lines.at(-1)]).toEqual(["before\n", "after\n"]);
  expect(readdirSync(folder).sort()).toEqual(["output", "output.1"]);
});

test("a log never grows beyond three files of about 10 MiB", async () => {
  const log = new LogFile(path);
  for (let i = 0; i < 45; i++) await log.append("z".repeat(2 ** 20));
  await log.close();
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
  expect(sizes).toHaveLength(3);
  expect(Math.max(...sizes)).toBeLessThan(12 * 2 ** 20);
});

test("a line that was cut off by a full disk is left out", async () => {
  await write("one\n");
  appendFileSync(path, '{"time":"2026-\n');
  await write("two\n");
  expect(await texts()).toEqual(["one\n", "two\n"]);
});

test("what a full disk does not take is dropped and counted, and the stream is read on to its end", async () => {
  const log = new OutputLog("/dev/full", path);
  await log.keep(Readable.from([Buffer.from("one\n"), Buffer.from("two\n")]), "stdout");
  await log.close();
  expect(log.lostBytes).toBeGreaterThan(100);
  expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
});

test("what cannot be written is dropped and counted", async () => {
  const log = new LogFile(join(folder, "missing", "output"));
  await log.append("lost");
  expect(log.dropped).toBe(4);
  await log.close();
});

test("a copy has the text as it was written, and the last words none of what a terminal obeys", async () => {
  const log = new OutputLog(path, join(folder, "copy"));
  await log.keep(Readable.from([Buffer.from("\u001b[31mred\nend\n")]), "stderr");
  await log.close();
  expect(readFileSync(join(folder, "copy"), "utf8")).toBe("\u001b[31mred\nend\n");
  expect(log.lastWords).toBe("[31mred\nend");
});

test("there is nothing to read before anything was written", async () => {
  expect(await texts()).toEqual([]);
});
