import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkDiskImage, createDiskImage } from "../../../src/engine/index.js";
import { CacheInvalidError } from "../../../src/errors.js";
import { temporaryFolder } from "../../support/layer-fixture.js";

const GIB = 2 ** 30;

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder.path, "image");
});
afterEach(() => folder[Symbol.dispose]());

/** Changes a field of the header. */
function patch(at: number, bytes: readonly number[]): void {
  const content = readFileSync(path);
  content.set(bytes, at);
  writeFileSync(path, content);
}

test.each([1, 100, 4096])("an image of a disk of %d GiB is small, and known again", async (gib) => {
  await createDiskImage(path, gib * GIB);
  expect(statSync(path).size).toBe(262_144);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await checkDiskImage(path, gib * GIB);
});

test("an image is not written over what is there", async () => {
  writeFileSync(path, "mine");
  await expect(createDiskImage(path, GIB)).rejects.toThrow("EEXIST");
});

test.each([
  ["names a file that it is based on", 8, [0, 0, 0, 0, 0, 0, 1, 0]],
  ["has clusters of another size", 20, [0, 0, 0, 9]],
  ["is encrypted", 32, [0, 0, 0, 2]],
  ["has snapshots of its own", 60, [0, 0, 0, 1]],
  ["has its data in a file elsewhere", 72, [0, 0, 0, 0, 0, 0, 0, 4]],
  ["was found corrupt", 72, [0, 0, 0, 0, 0, 0, 0, 2]],
  ["is of another size", 24, [0, 0, 1, 0]],
  ["is of another version", 4, [0, 0, 0, 2]],
  ["is something else", 0, [1, 2, 3, 4]],
])("an image that %s is refused", async (_, at, bytes) => {
  await createDiskImage(path, GIB);
  patch(at, bytes);
  await expect(checkDiskImage(path, GIB)).rejects.toThrow(CacheInvalidError);
});

test("one that is cut off is refused", async () => {
  await createDiskImage(path, GIB);
  truncateSync(path, 100);
  await expect(checkDiskImage(path, GIB)).rejects.toThrow(`the disk ${path} is truncated`);
});
