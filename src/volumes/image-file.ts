import { type FileHandle, open } from "node:fs/promises";
import { makeExt4 } from "../assets/index.js";
import { UsageError } from "../errors.js";
import type { LongWork } from "../progress.js";

const MIB = 2 ** 20;
/** Of ext4: where the superblock is, and what is read of it (fs/ext4/ext4.h). */
const SUPERBLOCK = { offset: 1024, bytes: 1024, magic: 0xef53 } as const;
const STATE_ERRORS = 2;
const INCOMPAT_RECOVER = 4;
/** `clean`: unmounted in order. `journal`: it was not, and the next mount completes or undoes what was under way. `errors`: it is damaged. */
export type VolumeState = "clean" | "journal" | "errors";

/** What an image file's own first bytes say; the guest wrote them, so it is only shown. */
export interface ImageFacts {
  sizeMiB: number;
  /** What it takes on this machine's disk. */
  diskBytes: number;
  state: VolumeState;
}

/** Makes a sparse file with an empty ext4. @throws AssetsError when mke2fs is not to be had */
export function makeImage(path: string, sizeMiB: number, work: LongWork): Promise<void> {
  return makeExt4(path, sizeMiB, true, work);
}

/** Makes the file longer; the guest's kernel makes the file system longer when it mounts it. @throws UsageError when it is longer already */
export async function growImage(path: string, sizeMiB: number): Promise<void> {
  await using file = await disposable(path, "r+");
  const { size } = await file.stat();
  if (size > sizeMiB * MIB) {
    throw new UsageError(
      `the volume ${path} has ${Math.floor(size / MIB)} MiB; it can grow, but not shrink to ${sizeMiB}`,
    );
  }
  await file.truncate(sizeMiB * MIB);
}

/** @throws UsageError when it is no ext4 */
export async function readImage(path: string): Promise<ImageFacts> {
  await using file = await disposable(path, "r");
  const bytes = Buffer.alloc(SUPERBLOCK.bytes);
  const { bytesRead } = await file.read(bytes, 0, bytes.length, SUPERBLOCK.offset);
  if (bytesRead < bytes.length || bytes.readUInt16LE(56) !== SUPERBLOCK.magic) {
    throw new UsageError(`${path} is no volume: it does not hold ext4`, { hint: "Name another file." });
  }
  const { size, blocks } = await file.stat();
  const state =
    bytes.readUInt16LE(58) & STATE_ERRORS ? "errors" : bytes.readUInt32LE(96) & INCOMPAT_RECOVER ? "journal" : "clean";
  return { sizeMiB: Math.floor(size / MIB), diskBytes: blocks * 512, state };
}

async function disposable(path: string, flags: string): Promise<FileHandle & AsyncDisposable> {
  return (await open(path, flags, 0o600)) as FileHandle & AsyncDisposable;
}
