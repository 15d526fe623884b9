import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { clone, Delta, RAM_COPY } from "../../src/memory/index.js";
import { acquireLock, sweepScratch } from "../../src/store/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { limitFileSize } from "./file-size-limit.js";
import { contentOf, makeTemplate } from "./template.js";

const PAGE = 4096;
/** More than one step of the comparison, and no whole number of them. */
const TOTAL = 700;

let folder: ReturnType<typeof temporaryFolder>;
let template: string;
let run: string;
beforeEach(() => {
  folder = temporaryFolder();
  run = join(folder.path, "run");
  template = makeTemplate(join(folder.path, "ram.img"), TOTAL, [0, 100, 255]);
});
afterEach(() => folder[Symbol.dispose]());

test("gives every worker a file of its own, shared with its process", async () => {
  await using one = await clone(run).open(template);
  await using two = await clone(run).open(template);
  expect(one.file.shared).toBe(true);
  expect(one.file.path).not.toBe(two.file.path);
  expect(readFileSync(one.file.path).equals(readFileSync(template))).toBe(true);
});

test("holes of the template take no space in the copy", async () => {
  const large = makeTemplate(join(folder.path, "large.img"), 16_384, [3]);
  await using ram = await clone(run).open(large);
  const { size, blocks } = statSync(ram.file.path);
  expect(size).toBe(64 * 2 ** 20);
  expect(blocks * 512).toBeLessThanOrEqual(2 ** 20);
});

test("finds what differs at the borders of its steps", async () => {
  await using ram = await clone(run).open(template);
  const file = readFileSync(ram.file.path);
  for (const page of [0, 255, 256, 511, 512, TOTAL - 1]) file.fill(page % 250 || 250, page * PAGE, (page + 1) * PAGE);
  writeFileSync(ram.file.path, file);
  const delta = await ram.capture(0);
  expect(contentOf(delta)).toEqual({ 0: 250, 255: 5, 256: 6, 511: 11, 512: 12, 699: 199 });
  expect(delta.runs).toHaveLength(4);
});

test("leaves a page out that was changed back", async () => {
  await using ram = await clone(run).open(template);
  await ram.apply(0, new Delta(TOTAL * PAGE, [{ first: 100, count: 1 }], Buffer.alloc(PAGE, 1)));
  await ram.apply(0, new Delta(TOTAL * PAGE, [{ first: 100, count: 1 }], Buffer.alloc(PAGE, 100)));
  expect((await ram.capture(0)).runs).toEqual([]);
});

test("a full disk is an error when pages are put in place", async () => {
  await using ram = await clone(run).open(template);
  using _limit = limitFileSize(10 * PAGE);
  const delta = new Delta(TOTAL * PAGE, [{ first: 8, count: 4 }], Buffer.alloc(4 * PAGE, 1));
  await expect(ram.apply(0, delta)).rejects.toMatchObject({ code: "EFBIG" });
});

test("a template that is missing leaves nothing behind", async () => {
  await expect(clone(run).open(join(folder.path, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
  expect(readdirSync(run)).toEqual([]);
});

test("a sweep removes copies whose owners have died, and no others", async () => {
  await using ram = await clone(run).open(template);
  const left = join(run, "1-0.ram");
  writeFileSync(left, "x");
  writeFileSync(join(run, "note"), "x");
  await using _other = await acquireLock(join(run, "2-0.ram.lock"));
  writeFileSync(join(run, "2-0.ram"), "x");
  await sweepScratch(run, RAM_COPY);
  expect(existsSync(left)).toBe(false);
  expect(existsSync(ram.file.path)).toBe(true);
  expect(existsSync(join(run, "2-0.ram"))).toBe(true);
  expect(existsSync(join(run, "note"))).toBe(true);
  await sweepScratch(join(folder.path, "missing"), RAM_COPY);
});
