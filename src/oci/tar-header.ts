/** Tar files are made of blocks of this size. */
export const BLOCK_BYTES = 512;

/** What indexing needs of a tar header. */
export interface TarHeader {
  name: string;
  linkName: string;
  size: number;
  /** The type flag: one character, `"0"` or NUL for a regular file. */
  type: string;
  /** In a header of GNU's old sparse type: further blocks of its map follow. */
  sparseMapContinues: boolean;
}

export function isZeroBlock(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

/** Parses a header block of POSIX, GNU or Version 7 form; `undefined` when its checksum or a number is wrong. */
export function parseHeader(block: Buffer): TarHeader | undefined {
  const size = parseNumber(block.subarray(124, 136));
  if (size === undefined || parseNumber(block.subarray(148, 156)) !== checksum(block)) return undefined;
  const isPosix = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isPosix ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    size,
    type: block.toString("latin1", 156, 157),
    sparseMapContinues: block[482] === 1,
  };
}

/** Parses the records of a pax header, `LENGTH KEY=VALUE\n` each; `undefined` when they are malformed. */
export function parsePax(content: Buffer): Map<string, string> | undefined {
  const records = new Map<string, string>();
  for (let position = 0; position < content.length; ) {
    const space = content.indexOf(0x20, position);
    const digits = space < 0 ? "" : content.toString("latin1", position, space);
    if (!/^[1-9]\d{0,8}$/.test(digits)) return undefined;
    const end = position + Number(digits);
    const equals = content.indexOf(0x3d, space);
    if (end > content.length || content[end - 1] !== 0x0a || equals < 0 || equals >= end) return undefined;
    records.set(content.toString("utf8", space + 1, equals), content.toString("utf8", equals + 1, end - 1));
    position = end;
  }
  return records;
}

/** The sum of a header's bytes, its checksum field counted as spaces. */
function checksum(block: Buffer): number {
  let sum = 0;
  for (let i = 0; i < BLOCK_BYTES; i++) sum += i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
  return sum;
}

/** Octal text, or GNU's base-256 form for what does not fit; `undefined` when it is neither or not a safe integer. */
function parseNumber(field: Buffer): number | undefined {
  if (field[0] === 0x80) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = field.toString("latin1").replace(/^[ \0]+|[ \0].*$/gs, "");
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || "0", 8) : undefined;
}

function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString("utf8", start, end < 0 || end > start + length ? start + length : end);
}
