import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lutimesSync,
  statfsSync,
} from "node:fs";
import { openPinned } from "../anchors.js";
import { type FileNode, isSame } from "../node-table.js";
import { encodeAttributes, Refusal, type Request, readId, readSize } from "../wire.js";
import { nodeOf, requireWritable, type Session } from "./session.js";

/** Bits of `valid` in `struct fuse_setattr_in`. */
const SET = {
  mode: 1,
  uid: 2,
  gid: 4,
  size: 8,
  atime: 16,
  mtime: 32,
  handle: 64,
  atimeNow: 128,
  mtimeNow: 256,
} as const;
const O_PATH = 0o10000000;
/** No set-user-id and set-group-id: a guest shall not leave programs on the host that run as another user. */
const MODE = 0o1777;

export function getattr(session: Session, request: Request): Buffer {
  return attributesOf(session, session.tree.stat(nodeOf(session, request)));
}

export function setattr(session: Session, request: Request): Buffer {
  requireWritable(session);
  const { body } = request;
  const node = nodeOf(session, request);
  const valid = body.readUInt32LE(0);
  requireOwner(session, valid, body);
  if (valid & SET.size) truncate(session, node, readSize(body, 16), valid & SET.handle ? readId(body, 8) : undefined);
  if (valid & SET.mode) chmod(session, node, body.readUInt32LE(68) & MODE);
  if (valid & (SET.atime | SET.mtime)) setTimes(session, node, valid, body);
  return attributesOf(session, session.tree.stat(node));
}

/** All files belong to one user in the guest, so that is the only one they can be given to. */
function requireOwner({ owner }: Session, valid: number, body: Buffer): void {
  if (valid & SET.uid && body.readUInt32LE(76) !== owner.uid) throw new Refusal("EPERM");
  if (valid & SET.gid && body.readUInt32LE(80) !== owner.gid) throw new Refusal("EPERM");
}

function truncate(session: Session, node: FileNode, size: number, handle: number | undefined): void {
  if (handle !== undefined) {
    const file = session.handles.file(handle);
    if (!file.writable) throw new Refusal("EBADF");
    ftruncateSync(file.fd, size);
    return;
  }
  withNode(session, node, constants.O_WRONLY, (fd) => ftruncateSync(fd, size));
}

/** Linux has no chmod that does not follow links, so the very file is held by a descriptor meanwhile. */
function chmod(session: Session, node: FileNode, mode: number): void {
  if (node.kind === "link") throw new Refusal("EOPNOTSUPP");
  const [opened] = node.open ?? [];
  if (opened) fchmodSync(opened.fd, mode);
  else if (process.platform === "linux")
    withNode(session, node, O_PATH, (fd) => chmodSync(`/proc/self/fd/${fd}`, mode));
  else withNode(session, node, constants.O_RDONLY, (fd) => fchmodSync(fd, mode));
}

function withNode(session: Session, node: FileNode, flags: number, use: (fd: number) => void): void {
  if (node.kind !== "file" && flags !== O_PATH && node.kind !== "directory") throw new Refusal("EINVAL");
  const fd = openPinned(session.tree.place(node), flags | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!isSame(node, fstatSync(fd, { bigint: true }))) throw new Refusal("ESTALE");
    use(fd);
  } finally {
    closeSync(fd);
  }
}

function setTimes(session: Session, node: FileNode, valid: number, body: Buffer): void {
  const now = Date.now() / 1000;
  const stats = session.tree.stat(node);
  const time = (set: number, setNow: number, at: number, nsAt: number, present: bigint): number => {
    if (valid & setNow) return now;
    return valid & set ? Number(body.readBigInt64LE(at)) + body.readUInt32LE(nsAt) / 1e9 : Number(present) / 1e9;
  };
  const atime = time(SET.atime, SET.atimeNow, 32, 56, stats.atimeNs);
  const mtime = time(SET.mtime, SET.mtimeNow, 40, 60, stats.mtimeNs);
  lutimesSync(session.tree.place(node), timeOf(atime), timeOf(mtime));
}

/** Node takes a negative number of seconds for the present, but not a date before 1970. */
function timeOf(seconds: number): number | Date {
  return seconds < 0 ? new Date(seconds * 1000) : seconds;
}

/** `struct fuse_statfs_out`. */
export function statfs({ tree }: Session): Buffer {
  const of = statfsSync(tree.at(tree.nodes.root, "."), { bigint: true });
  const out = Buffer.alloc(80);
  for (const [index, value] of [of.blocks, of.bfree, of.bavail, of.files, of.ffree].entries()) {
    out.writeBigUInt64LE(BigInt.asUintN(64, value), 8 * index);
  }
  out.writeUInt32LE(Number(of.bsize), 40);
  out.writeUInt32LE(255, 44);
  out.writeUInt32LE(Number(of.bsize), 48);
  return out;
}

function attributesOf({ tree, owner }: Session, stats: BigIntStats): Buffer {
  return encodeAttributes(stats, tree.inode(stats), owner);
}
