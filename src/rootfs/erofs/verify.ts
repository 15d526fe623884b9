import { open } from "node:fs/promises";
import { plainCrc } from "./content-checksum.js";
import { BLOCK_SIZE, readSuperblock } from "./format.js";

const CHUNK = 1 << 20;

/** How {@link verifyImage} reads. */
export interface VerifyOptions {
  signal?: AbortSignal | undefined;
  /** Is told how many bytes have been read, of how many. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** An image of an older version, which has no checksum of its content, passes when its first block and its length are right. */
  mayLackChecksum?: boolean | undefined;
}

/** Reads the whole of an image that was written here; gives what is wrong with it, in words. */
export async function verifyImage(path: string, options: VerifyOptions = {}): Promise<string | undefined> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const buffer = Buffer.alloc(CHUNK);
  await file.read(buffer, 0, BLOCK_SIZE, 0);
  const superblock = readSuperblock(buffer.subarray(0, BLOCK_SIZE));
  if (!superblock) return "its first block is damaged";
  if (superblock.bytes !== size) return `it has ${size} bytes instead of ${superblock.bytes}`;
  if (superblock.contentChecksum === undefined) {
    return options.mayLackChecksum ? undefined : "its first block is damaged: the checksum of the content is missing";
  }
  // The first block has a checksum of its own, and this one in it.
  let crc = plainCrc(Buffer.alloc(BLOCK_SIZE), 0);
  for (let at = BLOCK_SIZE; at < size; ) {
    options.signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, CHUNK, at);
    if (bytesRead === 0) return `it ends after ${at} bytes`;
    crc = plainCrc(buffer.subarray(0, bytesRead), crc);
    at += bytesRead;
    options.onProgress?.(at, size);
  }
  return crc === superblock.contentChecksum ? undefined : "its content is corrupt: the checksum does not match";
}
