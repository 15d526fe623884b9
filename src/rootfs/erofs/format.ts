// On-disk structures of EROFS (Linux, fs/erofs/erofs_fs.h). All numbers are little-endian.
import { crc32c } from "./crc32c.js";

export const BLOCK_BITS = 12;
export const BLOCK_SIZE = 1 << BLOCK_BITS;
/** Inode numbers count slots of so many bytes from the start of the image. */
export const SLOT_SIZE = 32;
export const INODE_SIZE = 64;
export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_SIZE = 128;
/** Before the superblock there is room for a boot loader. There we keep the checksum of all blocks but the first. */
const CONTENT_MAGIC = Buffer.from("SMLAYER1", "latin1");

const MAGIC = 0xe0f5e1e2;
const COMPAT_CHECKSUM = 1;
const COMPAT_MTIME = 2;
const INCOMPAT_CHUNKED_FILE = 4;

/** How an inode's content is stored (`EROFS_INODE_*`). */
export const LAYOUT = { flatPlain: 0, flatInline: 2, chunkBased: 4 } as const;
export type Layout = (typeof LAYOUT)[keyof typeof LAYOUT];

/** A chunk of a chunk-based file that is a hole. */
export const NULL_BLOCK = 0xffff_ffff;

/** File types in directory entries. */
export const FILE_TYPE = { file: 1, directory: 2, char: 3, block: 4, fifo: 5, symlink: 7 } as const;
export type FileType = keyof typeof FILE_TYPE;

/** File type bits of `st_mode`. */
export const MODE_TYPE: Record<FileType, number> = {
  file: 0o100000,
  directory: 0o040000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
  symlink: 0o120000,
};

/** What an inode says of its owner, whatever its type. */
export interface Attributes {
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  xattrs: ReadonlyMap<string, Buffer> | undefined;
}

export interface InodeFields {
  type: FileType;
  attributes: Attributes;
  layout: Layout;
  /** Bytes of the extended attributes that follow the inode, 0 or a count that {@link encodeXattrs} gave. */
  xattrSize: number;
  size: number;
  /** First block, device number or chunk format, depending on type and layout. */
  union: number;
  /** A number that is unique in the image. */
  number: number;
  links: number;
}

const LINKS_OFFSET = 44;

/** Where the link count of the inode at `position` is. */
export function linksPosition(nid: number): number {
  return nid * SLOT_SIZE + LINKS_OFFSET;
}

/** Writes a 64-byte ("extended") inode. */
export function writeInode(target: Buffer, at: number, inode: InodeFields): void {
  const { attributes } = inode;
  target.fill(0, at, at + INODE_SIZE);
  target.writeUInt16LE(1 | (inode.layout << 1), at);
  target.writeUInt16LE(inode.xattrSize === 0 ? 0 : (inode.xattrSize - 12) / 4 + 1, at + 2);
  target.writeUInt16LE(MODE_TYPE[inode.type] | attributes.mode, at + 4);
  writeUInt64(target, at + 8, inode.size);
  target.writeUInt32LE(inode.union, at + 16);
  target.writeUInt32LE(inode.number, at + 20);
  target.writeUInt32LE(attributes.uid, at + 24);
  target.writeUInt32LE(attributes.gid, at + 28);
  target.writeBigInt64LE(BigInt(attributes.mtimeSeconds), at + 32);
  target.writeUInt32LE(attributes.mtimeNanoseconds, at + 40);
  target.writeUInt32LE(inode.links, at + LINKS_OFFSET);
}

/** Linux's `new_encode_dev()`: 12 bits of major, 20 of minor. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export interface SuperblockFields {
  rootNid: number;
  inodes: number;
  blocks: number;
  /** Block at which the shared extended attributes begin. */
  xattrBlock: number;
  uuid: Uint8Array;
  /** At most 16 bytes. */
  volumeName: string;
  hasChunks: boolean;
  /** Of the whole image, with zeros for its first block: CRC-32 without the inversions. */
  contentChecksum: number | undefined;
}

/** Writes the superblock into the image's first block and then its checksum, which covers the rest of the block too. */
export function writeSuperblock(block: Buffer, fields: SuperblockFields): void {
  const at = SUPERBLOCK_OFFSET;
  block.fill(0, at, at + SUPERBLOCK_SIZE);
  if (fields.contentChecksum !== undefined) {
    CONTENT_MAGIC.copy(block);
    block.writeUInt32LE(fields.contentChecksum, CONTENT_MAGIC.length);
  }
  block.writeUInt32LE(MAGIC, at);
  block.writeUInt32LE(COMPAT_CHECKSUM | COMPAT_MTIME, at + 8);
  block.writeUInt8(BLOCK_BITS, at + 12);
  block.writeUInt16LE(fields.rootNid, at + 14);
  writeUInt64(block, at + 16, fields.inodes);
  block.writeUInt32LE(fields.blocks, at + 36);
  block.writeUInt32LE(fields.xattrBlock, at + 44);
  block.set(fields.uuid.subarray(0, 16), at + 48);
  block.write(fields.volumeName, at + 64, 16, "latin1");
  block.writeUInt32LE(fields.hasChunks ? INCOMPAT_CHUNKED_FILE : 0, at + 80);
  block.writeUInt32LE(crc32c(0xffff_ffff, block.subarray(at, BLOCK_SIZE)), at + 4);
}

/** What {@link readSuperblock} gives: enough to know that an image is whole. */
export interface SuperblockSummary {
  bytes: number;
  volumeName: string;
  /** Absent from images of version 0.1. */
  contentChecksum: number | undefined;
}

/** Reads the first block of an image; `undefined` when it is not an intact one that {@link writeSuperblock} made. */
export function readSuperblock(block: Buffer): SuperblockSummary | undefined {
  const at = SUPERBLOCK_OFFSET;
  if (block.length < BLOCK_SIZE || block.readUInt32LE(at) !== MAGIC || block.readUInt8(at + 12) !== BLOCK_BITS) {
    return undefined;
  }
  const covered = Buffer.from(block.subarray(at, BLOCK_SIZE));
  covered.writeUInt32LE(0, 4);
  if (crc32c(0xffff_ffff, covered) !== block.readUInt32LE(at + 4)) return undefined;
  const name = block.toString("latin1", at + 64, at + 80);
  const hasChecksum = block.subarray(0, CONTENT_MAGIC.length).equals(CONTENT_MAGIC);
  return {
    bytes: block.readUInt32LE(at + 36) * BLOCK_SIZE,
    volumeName: name.replace(/\0.*$/s, ""),
    contentChecksum: hasChecksum ? block.readUInt32LE(CONTENT_MAGIC.length) : undefined,
  };
}

export function writeUInt64(target: Buffer, at: number, value: number): void {
  target.writeUInt32LE(value % 2 ** 32, at);
  target.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}
