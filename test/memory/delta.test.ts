import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CacheInvalidError } from "../../src/errors.js";
import { Delta } from "../../src/memory/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { limitFileSize } from "./file-size-limit.js";

const PAGE = 4096;
const RAM_PAGES = 100;
const RUNS = [
  { first: 3, count: 2 },
  { first: 99, count: 1 },
];
/** Where the header's fields are, as documented at the class. */
const AT = { magic: 0, pageSize: 8, runCount: 12, ramBytes: 16, pageCount: 24, runsCrc: 28, pagesCrc: 32, runs: 64 };

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder.path, "memory.delta");
});
afterEach(() => folder[Symbol.dispose]());

const pages = Buffer.concat([3, 4, 99].map((value) => Buffer.alloc(PAGE, value)));
const delta = (runs = RUNS, content = pages) => new Delta(RAM_PAGES * PAGE, runs, content);

/** Writes a good delta, changes its bytes, and gives why it is refused. */
async function refusal(change: (file: Buffer) => Buffer): Promise<CacheInvalidError> {
  await delta().write(path);
  writeFileSync(path, change(readFileSync(path)));
  const error = await Delta.read(path).catch((each: unknown) => each);
  expect(error).toBeInstanceOf(CacheInvalidError);
  return error as CacheInvalidError;
}

test("what was written is read again", async () => {
  await delta().write(path);
  const read = await Delta.read(path);
  expect(read).toMatchObject({ ramBytes: RAM_PAGES * PAGE, runs: RUNS });
  expect(read.pages.equals(pages)).toBe(true);
});

test("a delta that is read in many pieces is the one that was written", async () => {
  const count = 5_000;
  const many = Buffer.alloc(count * PAGE);
  for (let page = 0; page < count; page++) many.writeUInt32LE(page, page * PAGE);
  await new Delta(count * PAGE, [{ first: 0, count }], many).write(path);
  expect((await Delta.read(path)).pages.equals(many)).toBe(true);
  const file = readFileSync(path);
  file.writeUInt8(1, file.length - 1);
  writeFileSync(path, file);
  await expect(Delta.read(path)).rejects.toThrow(/corrupt/);
});

test("a guest that changed nothing has an empty delta", async () => {
  await delta([], Buffer.alloc(0)).write(path);
  expect(await Delta.read(path)).toMatchObject({ runs: [], ramBytes: RAM_PAGES * PAGE });
});

test("the file is as documented", async () => {
  await delta().write(path);
  const file = readFileSync(path);
  expect(file.length).toBe(64 + 2 * 8 + 3 * PAGE);
  expect(file.toString("latin1", AT.magic, 8)).toBe("SMDELTA1");
  expect([AT.pageSize, AT.runCount, AT.pageCount].map((at) => file.readUInt32LE(at))).toEqual([PAGE, 2, 3]);
  expect(file.readBigUInt64LE(AT.ramBytes)).toBe(409_600n);
  expect(file.readUInt32LE(AT.runsCrc)).toBe(
    crc32(Buffer.concat([file.subarray(0, AT.runsCrc), file.subarray(64, 80)])),
  );
  expect(file.readUInt32LE(AT.pagesCrc)).toBe(crc32(file.subarray(80)));
  expect(file.subarray(36, 64).equals(Buffer.alloc(28))).toBe(true);
  expect([64, 68, 72, 76].map((at) => file.readUInt32LE(at))).toEqual([3, 2, 99, 1]);
});

test("it is for its owner alone, and never overwrites", async () => {
  await delta().write(path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await expect(delta().write(path)).rejects.toMatchObject({ code: "EEXIST" });
});

test("a full disk is an error, not a short file", async () => {
  const many = Buffer.alloc(32 * PAGE, 7);
  using _limit = limitFileSize(16 * PAGE);
  await expect(delta([{ first: 0, count: 32 }], many).write(path)).rejects.toMatchObject({ code: "EFBIG" });
});

describe("a damaged file is refused", () => {
  test.each([0, 1, 7, 63, 64, 79, 80, 80 + PAGE, 80 + 3 * PAGE - 1])("cut to %i bytes", async (bytes) => {
    expect((await refusal((file) => file.subarray(0, bytes))).message).toMatch(/truncated|promises/);
  });

  test("with something after its end", async () => {
    expect((await refusal((file) => Buffer.concat([file, Buffer.alloc(1)]))).message).toMatch(/12369 bytes.*12368/);
  });

  test.each([
    ["magic", AT.magic, /is not one/],
    ["magic's last letter", AT.magic + 7, /is not one/],
    ["page size", AT.pageSize, /pages of \d+ bytes/],
    ["number of runs", AT.runCount, /promises/],
    ["number of runs, to billions", AT.runCount + 3, /promises/],
    ["number of pages", AT.pageCount, /promises/],
    ["number of pages, to billions", AT.pageCount + 3, /promises/],
    ["checksum of the runs", AT.runsCrc, /corrupt/],
    ["checksum of the pages", AT.pagesCrc, /corrupt/],
    ["first run", AT.runs, /corrupt/],
    ["last run's count", AT.runs + 12, /corrupt/],
    ["first page", 80, /corrupt/],
    ["last byte", 80 + 3 * PAGE - 1, /corrupt/],
  ])("in its %s", async (_, at, reason) => {
    const error = await refusal((file) => {
      file[at] = (file[at] ?? 0) ^ 0xff;
      return file;
    });
    expect(error.message).toMatch(reason);
    expect(error.message).toContain(path);
    expect(error.hint).toMatch(/rmi/);
  });

  test.each([99n, 101n])("in its size of RAM (%i pages)", async (pages) => {
    const error = await refusal((file) => {
      file.writeBigUInt64LE(pages * BigInt(PAGE), AT.ramBytes);
      return file;
    });
    expect(error.message).toMatch(/corrupt/);
  });

  test.each([
    ["beyond the RAM", [{ first: 98, count: 3 }]],
    ["far beyond the RAM", [{ first: 0xffff_ffff, count: 3 }]],
    [
      "that are none",
      [
        { first: 1, count: 0 },
        { first: 3, count: 3 },
      ],
    ],
    [
      "that overlap",
      [
        { first: 3, count: 2 },
        { first: 4, count: 1 },
      ],
    ],
    [
      "that fall",
      [
        { first: 9, count: 2 },
        { first: 4, count: 1 },
      ],
    ],
    ["that are fewer than its pages", [{ first: 3, count: 2 }]],
    ["that are more than its pages", [{ first: 3, count: 4 }]],
  ])("with right checksums and runs %s", async (_, runs) => {
    await delta(runs).write(path);
    await expect(Delta.read(path)).rejects.toThrow(/outside the guest's memory/);
    await expect(Delta.read(path)).rejects.toThrow(CacheInvalidError);
  });
});

test("a file that is not there is reported as such", async () => {
  await expect(Delta.read(path)).rejects.toMatchObject({ code: "ENOENT" });
});
