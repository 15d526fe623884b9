import { stat } from "node:fs/promises";
import { join } from "node:path";
import { makeExt4 } from "../assets/index.js";
import { createDiskImage, type Disk, type DiskBase } from "../engine/index.js";
import type { LongWork } from "../progress.js";
import { home, openScratch, produceOnce } from "../store/index.js";

/** The disk that keeps what a guest writes to its root, as an image. */
export const ROOT_DISK_FILE = "root.disk";

/** Between those of layers and of volumes. */
const ROOT_DISK_LUN = 511;

/** What the files end in that guests' own disks are kept in. */
export const DISK_IMAGE = "disk";

/** Raised with how the empty file system is made. */
const FORMAT = 2;
const MIB = 2 ** 20;

/** A guest's disk, and what it begins with. */
export interface RootDisk {
  lun: number;
  sizeMiB: number;
  base: DiskBase;
}

/** Its size as the guest sees it. */
export function rootDiskBytes({ sizeMiB }: Pick<RootDisk, "sizeMiB">): number {
  return sizeMiB * MIB;
}

/**
 * A disk with an empty file system, for guests to begin with: made once for each size, and only read from then on.
 * @throws AssetsError when mke2fs, which makes it, is not to be had
 */
export async function emptyRootDisk(sizeMiB: number, work: LongWork): Promise<RootDisk> {
  const path = join(home().assets, `empty-${sizeMiB}.v${FORMAT}.ext4`);
  await produceOnce(path, {
    find: () => stat(path).catch(() => undefined),
    make: (partial) => makeExt4(partial, sizeMiB, false, work),
    ...(work.signal && { signal: work.signal }),
  });
  return { lun: ROOT_DISK_LUN, sizeMiB, base: { path, format: "raw" } };
}

/**
 * A disk for one guest alone. It is disposed of as soon as the hypervisor has opened it: from then on the file has no name, and its space is free
 * when the hypervisor ends, however it ends.
 */
export async function openRootDisk(rootDisk: RootDisk): Promise<AsyncDisposable & { disk: Disk }> {
  const scratch = await openScratch(home().run, DISK_IMAGE);
  try {
    await createDiskImage(scratch.path, rootDiskBytes(rootDisk));
  } catch (error) {
    await scratch[Symbol.asyncDispose]();
    throw error;
  }
  const disk = { lun: rootDisk.lun, path: scratch.path, base: rootDisk.base };
  return { disk, [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose]() };
}
