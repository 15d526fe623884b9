import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readDeltaEarly } from "../../src/memory/early-delta.js";
import { Delta, readDelta } from "../../src/memory/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
beforeEach(async () => {
  folder = temporaryFolder();
  path = join(folder.path, "memory.delta");
});
afterEach(() => folder[Symbol.dispose]());

const write = (to: string, value: number) =>
  new Delta(8192, [{ first: 1, count: 1 }], Buffer.alloc(4096, value)).write(to);

test("what was read early is given once", async () => {
  await write(path, 1);
  readDeltaEarly(path);
  const [first, second] = await Promise.all([readDelta(path), readDelta(path)]);
  expect(first).not.toBe(second);
  expect(first).toEqual(second);
});

test("what was read early is not given for another file, nor afterwards", async () => {
  const other = join(folder.path, "other.delta");
  await Promise.all([write(path, 1), write(other, 2)]);
  readDeltaEarly(path);
  expect((await readDelta(other)).pages[0]).toBe(2);
  rmSync(path);
  await expect(readDelta(path)).rejects.toMatchObject({ code: "ENOENT" });
});

test("what could not be read early is read again", async () => {
  readDeltaEarly(path);
  await write(path, 3);
  expect((await readDelta(path)).pages[0]).toBe(3);
});
