import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/** `stat` counts blocks of this size, whatever the file system's own is. */
const BLOCK_BYTES = 512;

/** Bytes that a file or folder takes on disk, with all that is in it; holes take none. 0 when it is not there. */
export async function diskBytes(path: string): Promise<number> {
  const facts = await lstat(path).catch(() => undefined);
  if (!facts) return 0;
  const own = facts.blocks * BLOCK_BYTES;
  if (!facts.isDirectory()) return own;
  const names = await readdir(path).catch(() => [] as string[]);
  const inside = await Promise.all(names.map((name) => diskBytes(join(path, name))));
  return inside.reduce((sum, bytes) => sum + bytes, own);
}

/** Bytes that the content of `folder` takes; a link to a folder elsewhere is followed. */
export async function contentBytes(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const sizes = await Promise.all(names.map((name) => diskBytes(join(folder, name))));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
