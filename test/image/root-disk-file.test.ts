import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createDiskImage } from "../../src/engine/index.js";
import { CacheInvalidError, CacheMissError } from "../../src/errors.js";
import { checkRootDisk, describeRootDisk, loadRootDisk, snapshotFiles } from "../../src/image/root-disk-file.js";
import { temporaryFolder } from "../support/layer-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
beforeEach(async () => {
  folder = temporaryFolder();
  path = join(folder.path, "root.disk");
  await createDiskImage(path, 64 * 2 ** 20);
});
afterEach(() => folder[Symbol.dispose]());

const describe = () => describeRootDisk(folder.path, { lun: 511, sizeMiB: 64 });

test("a disk is described, and found again by that", async () => {
  const rootDisk = await describe();
  expect(rootDisk).toEqual({ lun: 511, sizeMiB: 64, bytes: 262_144, crc32: expect.any(Number) });
  const base = { path, format: "image" };
  expect(await loadRootDisk(folder.path, { rootDisk })).toEqual({ lun: 511, sizeMiB: 64, base });
  expect(snapshotFiles({ rootDisk })).toEqual(["memory.delta", "device.state", "root.disk"]);
});

test("a snapshot without one has none", async () => {
  expect(await loadRootDisk(folder.path, {})).toBeUndefined();
  expect(snapshotFiles({})).toEqual(["memory.delta", "device.state"]);
});

test("one that is missing, shorter or changed is refused", async () => {
  const rootDisk = await describe();
  truncateSync(path, 262_000);
  const damage = `the snapshot's disk ${path} is truncated or corrupt`;
  await expect(loadRootDisk(folder.path, { rootDisk })).rejects.toThrow(damage);
  truncateSync(path, 262_144);
  writeFileSync(path, Buffer.alloc(1, 1), { flag: "r+" });
  await expect(loadRootDisk(folder.path, { rootDisk })).rejects.toThrow(CacheInvalidError);
  await expect(checkRootDisk(folder.path, rootDisk, false)).rejects.toThrow("is no disk of a snapshot");
  rmSync(path);
  await expect(loadRootDisk(folder.path, { rootDisk })).rejects.toThrow(CacheMissError);
});
