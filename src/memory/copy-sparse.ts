import { constants } from "node:fs";
import { copyFile, open, rm } from "node:fs/promises";
import { writeFully } from "./write-fully.js";

const CHUNK = 1 << 20;

/** Copies a file to where none is: by reflink where the file system can, else without writing what is zero. */
export async function copySparse(from: string, to: string, signal?: AbortSignal): Promise<void> {
  try {
    return await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
  } catch {
    await rm(to, { force: true });
  }
  await using source = await open(from, "r");
  await using target = await open(to, "wx", 0o600);
  const { size } = await source.stat();
  await target.truncate(size);
  const [chunk, zeros] = [Buffer.allocUnsafe(CHUNK), Buffer.alloc(CHUNK)];
  for (let start = 0; start < size; start += CHUNK) {
    signal?.throwIfAborted();
    const { bytesRead } = await source.read(chunk, 0, CHUNK, start);
    if (chunk.compare(zeros, 0, bytesRead, 0, bytesRead) !== 0)
      await writeFully(target, chunk.subarray(0, bytesRead), start);
  }
}
