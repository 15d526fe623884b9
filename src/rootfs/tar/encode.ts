import type { TarEntry, TarEntryType } from "./entry.js";
import { BLOCK } from "./header.js";

const FLAGS: Record<TarEntryType, string> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

/**
 * The headers of an entry, as POSIX pax has them: the fields of ustar, and before it an extended header for what does not fit there.
 * Times are whole seconds, as other builders of images write them. The same entry always gives the same bytes.
 */
export function encodeEntry(entry: TarEntry): Buffer {
  const extended = new Map<string, Buffer>();
  const header = encodeHeader(entry, extended);
  for (const [name, value] of [...(entry.xattrs ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
    extended.set(`SCHILY.xattr.${name}`, value);
  }
  return extended.size === 0 ? header : Buffer.concat([encodeExtended(extended), header]);
}

/** What follows `size` bytes of content, up to the next header. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** What ends an archive. */
export const ARCHIVE_END = Buffer.alloc(2 * BLOCK);

function encodeHeader(entry: TarEntry, extended: Map<string, Buffer>): Buffer {
  const header = Buffer.alloc(BLOCK);
  const text = (value: string, at: number, key: string) => {
    if (value.length > 100) extended.set(key, Buffer.from(value, "latin1"));
    header.write(value.slice(0, 100), at, "latin1");
  };
  const number = (value: number, at: number, length: number, key: string) => {
    const digits = value.toString(8);
    if (digits.length >= length) extended.set(key, Buffer.from(String(value)));
    header.write(digits.length >= length ? "0".repeat(length - 1) : digits.padStart(length - 1, "0"), at, "latin1");
  };
  text(entry.name, 0, "path");
  text(entry.linkName, 157, "linkpath");
  number(entry.mode, 100, 8, "mode");
  number(entry.uid, 108, 8, "uid");
  number(entry.gid, 116, 8, "gid");
  number(entry.size, 124, 12, "size");
  number(Math.max(0, entry.mtimeSeconds), 136, 12, "mtime");
  number(entry.major, 329, 8, "SCHILY.devmajor");
  number(entry.minor, 337, 8, "SCHILY.devminor");
  return seal(header, FLAGS[entry.type]);
}

function encodeExtended(records: ReadonlyMap<string, Buffer>): Buffer {
  const body = Buffer.concat([...records].map(([key, value]) => encodeRecord(key, value)));
  const header = Buffer.alloc(BLOCK);
  header.write("pax", 0);
  header.write("0000644\0" + "0000000\0" + "0000000\0", 100);
  header.write(body.length.toString(8).padStart(11, "0"), 124);
  header.write("00000000000", 136);
  return Buffer.concat([seal(header, "x"), body, padding(body.length)]);
}

/** The length at a record's beginning counts itself. */
function encodeRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), value, Buffer.from("\n")]);
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function seal(header: Buffer, flag: string): Buffer {
  header.write(flag, 156);
  header.write("ustar\x0000", 257, "latin1");
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0`, 148, "latin1");
  return header;
}
