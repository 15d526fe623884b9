import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/** `stat` counts blocks of this size, whatever the file system's own is. */
const BLOCK_BYTES = 512;

/** Bytes that a file or folder takes on disk, with all that is in it; holes take none. 0 when it is not there. */
export async function diskBytes(path: string): Promise<number> {
  return await count(path, () => true);
}

/** What of that removing it would free: not what has another name too. */
export async function unsharedBytes(path: string): Promise<number> {
  return await count(path, ({ nlink }) => nlink === 1);
}

/** Bytes that the content of `folder` takes, files with several names once; a link to a folder elsewhere is followed. */
export async function contentBytes(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const seen = new Set<string>();
  const isNew = ({ nlink, dev, ino }: Stats) => {
    const before = seen.size;
    return nlink === 1 || seen.add(`${dev} ${ino}`).size > before;
  };
  const sizes = await Promise.all(names.map((name) => count(join(folder, name), isNew)));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

/** @param counts whether a file is one of those that are asked for */
async function count(path: string, counts: (facts: Stats) => boolean): Promise<number> {
  const facts = await lstat(path).catch(() => undefined);
  if (!facts) return 0;
  const own = facts.blocks * BLOCK_BYTES;
  if (!facts.isDirectory()) return counts(facts) ? own : 0;
  const names = await readdir(path).catch(() => [] as string[]);
  const inside = await Promise.all(names.map((name) => count(join(path, name), counts)));
  return inside.reduce((sum, bytes) => sum + bytes, own);
}
