import { Malformed } from "../malformed.js";
import { parseField } from "./number.js";

/** The unit in which a tar archive is laid out. */
export const BLOCK = 512;

const EMPTY_BLOCK = Buffer.alloc(BLOCK);
const SPACE = 0x20;
/** The checksum is computed as if its own field had spaces. */
const CHECKSUM_OFFSET = 148;
const CHECKSUM_LENGTH = 8;

/** The fields of one 512-byte header, of whichever variant. Names have one character per byte (latin1). */
export interface TarHeader {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes stored in the archive. */
  size: number;
  mtime: number;
  /** The type flag; "0" for a regular file, also in archives that have NUL there. */
  type: string;
  linkName: string;
  major: number;
  minor: number;
}

/** Whether the block is one of the two zero blocks that end an archive. */
export function isEmptyBlock(block: Buffer): boolean {
  return block[0] === 0 && block.equals(EMPTY_BLOCK);
}

/** Reads a header of V7, POSIX ustar, star or GNU tar, and checks its checksum. */
export function decodeHeader(block: Buffer): TarHeader {
  checkSum(block);
  const flag = block[156] ?? 0;
  const type = flag === 0 ? "0" : String.fromCharCode(flag);
  const device = type === "3" || type === "4";
  const baseName = text(block, 0, 100);
  const prefix = namePrefix(block);
  const name = prefix === "" ? baseName : `${prefix}/${baseName}`;
  return {
    name,
    mode: parseField(block, 100, 8, "mode"),
    uid: parseField(block, 108, 8, "user id"),
    gid: parseField(block, 116, 8, "group id"),
    size: parseField(block, 124, 12, "size"),
    mtime: parseField(block, 136, 12, "modification time"),
    // Before POSIX a folder was a file whose name ends with a slash.
    type: flag === 0 && name.endsWith("/") ? "5" : type,
    linkName: text(block, 157, 100),
    major: device ? parseField(block, 329, 8, "device number") : 0,
    minor: device ? parseField(block, 337, 8, "device number") : 0,
  };
}

/** Bytes up to the first NUL, one character each. */
function text(block: Buffer, offset: number, length: number): string {
  if (block[offset] === 0) return "";
  const end = block.indexOf(0, offset);
  return block.toString("latin1", offset, end < 0 || end > offset + length ? offset + length : end);
}

/** POSIX ustar has room for 155 more bytes of the name; star keeps times in the last 24 of them, GNU keeps all else. */
function namePrefix(block: Buffer): string {
  if (block[345] === 0 || block.toString("latin1", 257, 263) !== "ustar\0") return "";
  return text(block, 345, block.toString("latin1", 508, 512) === "tar\0" ? 131 : 155);
}

function checkSum(block: Buffer): void {
  const stored = parseField(block, CHECKSUM_OFFSET, CHECKSUM_LENGTH, "checksum");
  const unsigned = sum(block, 0, BLOCK) - sum(block, CHECKSUM_OFFSET, CHECKSUM_LENGTH) + CHECKSUM_LENGTH * SPACE;
  if (stored === unsigned) return;
  // Old writers summed signed bytes.
  const signed = unsigned - 256 * (highBytes(block, 0, BLOCK) - highBytes(block, CHECKSUM_OFFSET, CHECKSUM_LENGTH));
  if (stored !== signed) throw new Malformed(`its header has a wrong checksum (${stored}, computed ${unsigned})`);
}

function sum(block: Buffer, start: number, length: number): number {
  let total = 0;
  for (let i = start; i < start + length; i++) total += block[i] as number;
  return total;
}

function highBytes(block: Buffer, start: number, length: number): number {
  return block.subarray(start, start + length).filter((byte) => byte > 127).length;
}
