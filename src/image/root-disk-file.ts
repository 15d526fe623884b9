import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { checkDiskImage } from "../engine/index.js";
import { CacheInvalidError, CacheMissError } from "../errors.js";
import { CAPTURE_FILES, type Machine, ROOT_DISK_FILE, type RootDisk, rootDiskBytes } from "../machine/index.js";
import type { SnapshotMetadata } from "./metadata.js";

/** What takes less than 0.1 s is read whenever a snapshot is loaded; of larger disks only what the beginning says. */
const READ_AT_LOAD_BYTES = 64 * 2 ** 20;
const CHUNK = 1 << 20;

type Described = NonNullable<SnapshotMetadata["rootDisk"]>;

/** Names of the files in a snapshot's folder, besides its metadata. */
export function snapshotFiles({ rootDisk }: Pick<SnapshotMetadata, "rootDisk">): string[] {
  return [...Object.values(CAPTURE_FILES), ...(rootDisk ? [ROOT_DISK_FILE] : [])];
}

/** Describes the disk that was captured in `folder`. */
export async function describeRootDisk(folder: string, rootDisk: NonNullable<Machine["rootDisk"]>): Promise<Described> {
  const path = join(folder, ROOT_DISK_FILE);
  return { ...rootDisk, bytes: (await stat(path)).size, crc32: await checksumOf(path) };
}

/** The disk that machines of a snapshot begin with, if they have one. @throws CacheMissError, CacheInvalidError */
export async function loadRootDisk(
  folder: string,
  metadata: Pick<SnapshotMetadata, "rootDisk">,
): Promise<RootDisk | undefined> {
  const { rootDisk } = metadata;
  if (!rootDisk) return undefined;
  await checkRootDisk(folder, rootDisk, rootDisk.bytes <= READ_AT_LOAD_BYTES);
  const { lun, sizeMiB } = rootDisk;
  return { lun, sizeMiB, base: { path: join(folder, ROOT_DISK_FILE), format: "image" } };
}

/** @param whole whether every byte of it is read @throws CacheMissError, CacheInvalidError */
export async function checkRootDisk(folder: string, described: Described, whole: boolean): Promise<void> {
  const path = join(folder, ROOT_DISK_FILE);
  const facts = await stat(path).catch((cause: unknown) => {
    throw new CacheMissError(`the snapshot's file ${path} is missing`, { cause, hint: "Bake the image anew." });
  });
  const isWhole = facts.size === described.bytes && (!whole || (await checksumOf(path)) === described.crc32);
  if (isWhole) return checkDiskImage(path, rootDiskBytes(described));
  throw new CacheInvalidError(`the snapshot's disk ${path} is truncated or corrupt`, {
    hint: "Remove the snapshot (`supermachine rmi`); the next run bakes it anew.",
  });
}

async function checksumOf(path: string): Promise<number> {
  let sum = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK })) sum = crc32(chunk as Buffer, sum);
  return sum;
}
