import { BLOCK_SIZE, FILE_TYPE, type FileType, writeUInt64 } from "./format.js";

const DIRENT_SIZE = 12;

/** One name in a directory. */
export interface DirectoryEntry {
  /** One character per byte. */
  name: string;
  nid: number;
  type: FileType;
}

/** Names in the byte order in which the kernel searches them, and where a new block begins. */
export interface DirectoryPlan {
  /** Index of the first name of each block. */
  starts: number[];
  /** `i_size`: whole blocks, and what the last one uses. */
  size: number;
}

/** Spreads sorted names over blocks. A block has its entries first and then their names. */
export function planDirectory(names: readonly string[]): DirectoryPlan {
  const starts = [0];
  let used = 0;
  names.forEach((name, i) => {
    const needed = DIRENT_SIZE + name.length;
    if (used + needed > BLOCK_SIZE) {
      starts.push(i);
      used = 0;
    }
    used += needed;
  });
  return { starts, size: (starts.length - 1) * BLOCK_SIZE + used };
}

/** Writes the block of `entries[start]` to `entries[end - 1]` at `at`; the rest of the block must be zero. */
export function writeDirectoryBlock(
  target: Buffer,
  at: number,
  entries: readonly DirectoryEntry[],
  start: number,
  end: number,
): void {
  let nameOffset = (end - start) * DIRENT_SIZE;
  for (let i = start; i < end; i++) {
    const entry = entries[i];
    if (!entry) break;
    const dirent = at + (i - start) * DIRENT_SIZE;
    writeUInt64(target, dirent, entry.nid);
    target.writeUInt16LE(nameOffset, dirent + 8);
    target.writeUInt8(FILE_TYPE[entry.type], dirent + 10);
    target.write(entry.name, at + nameOffset, "latin1");
    nameOffset += entry.name.length;
  }
}
