import { open } from "node:fs/promises";
import { CacheInvalidError } from "../../errors.js";

// The format is qcow2 (docs/interop/qcow2.txt in QEMU's sources), of which only what QEMU itself needs is written here: it holds what was
// written to a disk and nothing of the rest, so it is as small as its content wherever it is copied to.

const CLUSTER_BITS = 16;
const CLUSTER = 1 << CLUSTER_BITS;
const MAGIC = 0x514649fb;
const VERSION = 3;
const HEADER_BYTES = 104;
/** Each entry of the first table stands for a cluster of entries of 8 bytes, each of which stands for a cluster. */
const BYTES_PER_ENTRY = (CLUSTER / 8) * CLUSTER;
/** Clusters of the header, the table of reference counts, its only block, and the first table. */
const PARTS = { header: 0, countTable: 1, counts: 2, table: 3, end: 4 } as const;

/** Makes the image of a disk to which nothing was written yet. @param bytes what the guest sees, at most 4 TiB */
export async function createDiskImage(path: string, bytes: number): Promise<void> {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(VERSION, 4);
  header.writeUInt32BE(CLUSTER_BITS, 20);
  header.writeBigUInt64BE(BigInt(bytes), 24);
  header.writeUInt32BE(Math.ceil(bytes / BYTES_PER_ENTRY), 36);
  header.writeBigUInt64BE(BigInt(PARTS.table * CLUSTER), 40);
  header.writeBigUInt64BE(BigInt(PARTS.countTable * CLUSTER), 48);
  header.writeUInt32BE(1, 56);
  // Counts of references have 2^4 bits.
  header.writeUInt32BE(4, 96);
  header.writeUInt32BE(HEADER_BYTES, 100);
  const countTable = Buffer.alloc(8);
  countTable.writeBigUInt64BE(BigInt(PARTS.counts * CLUSTER));
  const counts = Buffer.alloc(2 * PARTS.end);
  for (let at = 0; at < counts.length; at += 2) counts.writeUInt16BE(1, at);
  await using file = await open(path, "wx", 0o600);
  await file.write(header, 0, header.length, 0);
  await file.write(countTable, 0, countTable.length, PARTS.countTable * CLUSTER);
  await file.write(counts, 0, counts.length, PARTS.counts * CLUSTER);
  await file.truncate(PARTS.end * CLUSTER);
}

/**
 * Whether a file is an image of a disk of this size, as {@link createDiskImage} begins them. One from elsewhere could name other files of
 * this host as a part of it, which is refused.
 * @throws CacheInvalidError
 */
export async function checkDiskImage(path: string, bytes: number): Promise<void> {
  const header = Buffer.alloc(HEADER_BYTES);
  await using file = await open(path, "r");
  const { bytesRead } = await file.read(header, 0, header.length, 0);
  const problem = problemOf(header.subarray(0, bytesRead), bytes);
  if (problem === undefined) return;
  throw new CacheInvalidError(`the disk ${path} ${problem}`, {
    hint: "Remove the snapshot (`supermachine rmi`); the next run bakes it anew.",
  });
}

function problemOf(header: Buffer, bytes: number): string | undefined {
  if (header.length < HEADER_BYTES) return "is truncated";
  if (header.readUInt32BE(0) !== MAGIC || header.readUInt32BE(4) !== VERSION) return "is no disk of a snapshot";
  if (header.readBigUInt64BE(24) !== BigInt(bytes)) return `is not one of ${bytes} bytes`;
  // A backing file, another cluster size, encryption, snapshots of its own, or a feature such as a data file elsewhere.
  const plain =
    header.readBigUInt64BE(8) === 0n &&
    header.readUInt32BE(20) === CLUSTER_BITS &&
    header.readUInt32BE(32) === 0 &&
    header.readUInt32BE(60) === 0 &&
    header.readBigUInt64BE(72) === 0n;
  return plain ? undefined : "refers to other files, or has features that no disk of a snapshot has";
}
