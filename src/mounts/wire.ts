import type { BigIntStats } from "node:fs";

/**
 * The kernel's FUSE protocol 7.x as bytes, after the structures of include/uapi/linux/fuse.h: little-endian, since the guests are.
 * A request is `u32 length, u32 opcode, u64 unique, u64 node, u32 uid, u32 gid, u32 pid, u32 padding`, then its body.
 */
export const Opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  create: 35,
  interrupt: 36,
  destroy: 38,
  ioctl: 39,
  batchForget: 42,
  readdirplus: 44,
  rename2: 45,
} as const;

export const REQUEST_HEADER = 40;
export const REPLY_HEADER = 16;
export const ENTRY_BYTES = 128;
/** One READ or WRITE at most; the agent has room for just this and its header. */
export const DATA_MAX = 1 << 17;
export const ROOT_ID = 1;

const NAME_MAX = 255;
const PATH_MAX = 4095;
const NS = 1_000_000_000n;
const SETUID_SETGID = 0o6000;

/** How long the guest may believe what it was told of a file, in ns: edits of the host are seen within this time. */
const VALID_NS = 500_000_000;

/** A request that is refused with a Linux errno; its `code` is named as in Node's own file errors. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** A request of the guest's kernel. */
export interface Request {
  opcode: number;
  /** What the reply repeats. */
  unique: bigint;
  node: number;
  body: Buffer;
}

/** Cuts a whole message; its length field has been checked. */
export function decodeRequest(message: Buffer): Request {
  return {
    opcode: message.readUInt32LE(4),
    unique: message.readBigUInt64LE(8),
    node: readId(message, 16),
    body: message.subarray(REQUEST_HEADER),
  };
}

/** A number of nodes or handles; one that we never gave is not found, whatever it becomes. */
export function readId(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

/** An offset or size. */
export function readSize(bytes: Buffer, at: number): number {
  const size = bytes.readBigUInt64LE(at);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new Refusal("EFBIG");
  return Number(size);
}

/**
 * The NUL-terminated name that begins at `at`: one component, as bytes in a string of Latin-1. It is the only way by which text of
 * the guest gets into a path of the host.
 */
export function readName(body: Buffer, at: number): string {
  const name = readText(body, at, NAME_MAX);
  if (name === "" || name === "." || name === ".." || name.includes("/")) throw new Refusal("EINVAL");
  return name;
}

/** The target of a symbolic link, which may be anything: it is never followed here without being cut into names. */
export function readTarget(body: Buffer, at: number): string {
  const target = readText(body, at, PATH_MAX);
  if (target === "") throw new Refusal("ENOENT");
  return target;
}

function readText(body: Buffer, at: number, most: number): string {
  const end = body.indexOf(0, at);
  if (end < 0 || at > body.length) throw new Refusal("EINVAL");
  if (end - at > most) throw new Refusal("ENAMETOOLONG");
  return body.toString("latin1", at, end);
}

export function encodeReply(unique: bigint, errno: number, body?: Buffer): Buffer {
  const length = REPLY_HEADER + (errno === 0 ? (body?.length ?? 0) : 0);
  const message = Buffer.allocUnsafe(length);
  writeReplyHeader(message, unique, errno);
  if (errno === 0) body?.copy(message, REPLY_HEADER);
  return message;
}

/** For bodies that were made behind room for their header. */
export function writeReplyHeader(message: Buffer, unique: bigint, errno: number): void {
  message.writeUInt32LE(message.length, 0);
  message.writeInt32LE(-errno, 4);
  message.writeBigUInt64LE(unique, 8);
}

/** Whose the files are in the guest, whoever owns them on the host. */
export interface Owner {
  uid: number;
  gid: number;
}

/** `struct fuse_attr`, 88 bytes. */
export function writeAttributes(out: Buffer, at: number, stats: BigIntStats, inode: bigint, owner: Owner): void {
  out.writeBigUInt64LE(inode, at);
  out.writeBigUInt64LE(stats.size, at + 8);
  out.writeBigUInt64LE(stats.blocks, at + 16);
  const times = [stats.atimeNs, stats.mtimeNs, stats.ctimeNs];
  for (const [index, ns] of times.entries()) {
    const rest = ((ns % NS) + NS) % NS;
    out.writeBigInt64LE((ns - rest) / NS, at + 24 + 8 * index);
    out.writeUInt32LE(Number(rest), at + 48 + 4 * index);
  }
  out.writeUInt32LE(Number(stats.mode) & ~SETUID_SETGID, at + 60);
  out.writeUInt32LE(Math.min(Number(stats.nlink), 0xffffffff), at + 64);
  out.writeUInt32LE(owner.uid, at + 68);
  out.writeUInt32LE(owner.gid, at + 72);
  // Devices of the host mean nothing in the guest.
  out.writeUInt32LE(0, at + 76);
  out.writeUInt32LE(Math.min(Number(stats.blksize), 1 << 20), at + 80);
  out.writeUInt32LE(0, at + 84);
}

/** `struct fuse_entry_out` up to its attributes; a node of 0 says that there is nothing by that name. */
export function writeEntry(out: Buffer, at: number, node: number): void {
  out.writeBigUInt64LE(BigInt(node), at);
  out.fill(0, at + 8, at + 32);
  out.writeUInt32LE(VALID_NS, at + 32);
  out.writeUInt32LE(VALID_NS, at + 36);
}

/** Where the attributes are in an entry. */
export const ENTRY_ATTRIBUTES = 40;

/** `struct fuse_attr_out`. */
export function encodeAttributes(stats: BigIntStats, inode: bigint, owner: Owner): Buffer {
  const out = Buffer.allocUnsafe(104);
  out.fill(0, 0, 16);
  out.writeUInt32LE(VALID_NS, 8);
  writeAttributes(out, 16, stats, inode, owner);
  return out;
}

/** `struct fuse_open_out`. */
export function encodeOpen(handle: number, flags: number): Buffer {
  const out = Buffer.alloc(16);
  out.writeBigUInt64LE(BigInt(handle), 0);
  out.writeUInt32LE(flags, 8);
  return out;
}
