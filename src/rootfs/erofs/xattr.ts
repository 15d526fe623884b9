import { Malformed, printable } from "../malformed.js";

/** What precedes the attributes of an inode. */
export const XATTR_HEADER_SIZE = 12;
const HEADER_SIZE = XATTR_HEADER_SIZE;
const NOTHING = Buffer.alloc(0);
const MAX_NAME = 255;
const MAX_VALUE = 65_535;
/** One less than the 8-bit count of shared attributes holds: the overlay's mark may be added to an image's own. */
const MAX_COUNT = 254;
/** The count of 4-byte units that follow an inode has 16 bits, which is 262,148 bytes; the rest is for the mark. */
const MAX_SIZE = 262_000;

/** Name prefixes that EROFS stores as a number (`EROFS_XATTR_INDEX_*`); the two ACLs are whole names. */
const PREFIXES: readonly [prefix: string, index: number][] = [
  ["user.", 1],
  ["security.", 6],
  ["trusted.", 4],
];
const ACLS: ReadonlyMap<string, number> = new Map([
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
]);

/** Whether EROFS can store an attribute of this name; the others are those of no Linux file system (macOS, NFS). */
export function isStorableXattr(name: string): boolean {
  return ACLS.has(name) || PREFIXES.some(([prefix]) => name.startsWith(prefix) && name.length > prefix.length);
}

/**
 * Checks that an inode can have these attributes, whose names {@link isStorableXattr} has accepted.
 *
 * @throws Malformed when they are too many or too large.
 */
export function checkXattrs(xattrs: ReadonlyMap<string, Buffer>): void {
  let size = HEADER_SIZE;
  for (const [name, value] of xattrs) {
    const shown = `its extended attribute "${printable(name)}"`;
    if (name.length > MAX_NAME) throw new Malformed(`the name of ${shown} has more than ${MAX_NAME} bytes`);
    if (value.length > MAX_VALUE) throw new Malformed(`${shown} has more than ${MAX_VALUE} bytes`);
    size += entrySize(name.length, value.length);
  }
  if (xattrs.size > MAX_COUNT) throw new Malformed(`it has more than ${MAX_COUNT} extended attributes`);
  if (size > MAX_SIZE) throw new Malformed(`its extended attributes have more than ${MAX_SIZE} bytes`);
}

/** The attributes as they follow an inode: a header and the entries. Empty when there are none. */
export function encodeXattrs(xattrs: ReadonlyMap<string, Buffer> | undefined): Buffer {
  if (!xattrs || xattrs.size === 0) return NOTHING;
  return Buffer.concat([Buffer.alloc(HEADER_SIZE), ...encodeEntries(xattrs)]);
}

/** The attributes as references to shared ones, which begin `ids` (in units of 4 bytes) into the shared area. */
export function encodeSharedXattrs(ids: readonly number[]): Buffer {
  if (ids.length === 0) return NOTHING;
  const body = Buffer.alloc(HEADER_SIZE + 4 * ids.length);
  body.writeUInt8(ids.length, 4);
  ids.forEach((id, i) => {
    body.writeUInt32LE(id, HEADER_SIZE + 4 * i);
  });
  return body;
}

/** One buffer for each attribute, a multiple of 4 bytes long. */
export function encodeEntries(xattrs: ReadonlyMap<string, Buffer>): Buffer[] {
  return [...xattrs].map(([name, value]) => {
    const { index, suffix } = splitName(name);
    const entry = Buffer.alloc(entrySize(suffix.length, value.length));
    entry.writeUInt8(suffix.length, 0);
    entry.writeUInt8(index, 1);
    entry.writeUInt16LE(value.length, 2);
    entry.write(suffix, 4, "latin1");
    value.copy(entry, 4 + suffix.length);
    return entry;
  });
}

/**
 * Reads what {@link encodeXattrs} or {@link encodeSharedXattrs} wrote; `undefined` when it is wrong.
 * @param readShared reads from the area of shared attributes
 */
export function decodeXattrs(
  body: Buffer,
  readShared: (position: number, length: number) => Buffer,
): Map<string, Buffer> | undefined {
  const found = new Map<string, Buffer>();
  const shared = body.readUInt8(4);
  if (HEADER_SIZE + 4 * shared > body.length) return undefined;
  for (let i = 0; i < shared; i++) {
    const position = 4 * body.readUInt32LE(HEADER_SIZE + 4 * i);
    const head = readShared(position, 4);
    const entry = readShared(position, 4 + head.readUInt8(0) + head.readUInt16LE(2));
    if (!addEntry(found, entry)) return undefined;
  }
  for (let at = HEADER_SIZE + 4 * shared; at + 4 <= body.length; ) {
    const [nameLength, valueLength] = [body.readUInt8(at), body.readUInt16LE(at + 2)];
    if (!addEntry(found, body.subarray(at, at + 4 + nameLength + valueLength))) return undefined;
    at += entrySize(nameLength, valueLength);
  }
  return found;
}

function addEntry(found: Map<string, Buffer>, entry: Buffer): boolean {
  const nameLength = entry.readUInt8(0);
  if (entry.length !== 4 + nameLength + entry.readUInt16LE(2)) return false;
  const index = entry.readUInt8(1);
  const prefix = PREFIXES.find(([, number]) => number === index)?.[0] ?? aclName(index);
  if (prefix === undefined) return false;
  found.set(prefix + entry.toString("latin1", 4, 4 + nameLength), Buffer.from(entry.subarray(4 + nameLength)));
  return true;
}

function aclName(index: number): string | undefined {
  return [...ACLS].find(([, number]) => number === index)?.[0];
}

function entrySize(nameLength: number, valueLength: number): number {
  return Math.ceil((4 + nameLength + valueLength) / 4) * 4;
}

function splitName(name: string): { index: number; suffix: string } {
  const acl = ACLS.get(name);
  if (acl !== undefined) return { index: acl, suffix: "" };
  const known = PREFIXES.find(([prefix]) => name.startsWith(prefix));
  if (!known) throw new TypeError(`EROFS has no place for the extended attribute ${name}`);
  return { index: known[1], suffix: name.slice(known[0].length) };
}
