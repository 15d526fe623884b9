import { closeSync, constants, type Dir, type Dirent, fsync, opendirSync, openSync } from "node:fs";
import { promisify } from "node:util";
import type { OpenFolder } from "../handles.js";
import type { FileNode } from "../node-table.js";
import type { Found } from "../tree.js";
import {
  DATA_MAX,
  ENTRY_ATTRIBUTES,
  ENTRY_BYTES,
  encodeOpen,
  REPLY_HEADER,
  Refusal,
  type Request,
  readId,
  readSize,
  writeAttributes,
  writeEntry,
} from "../wire.js";
import { Framed, nodeOf, type Session } from "./session.js";

const DIRENT_HEADER = 24;
/** Entries read at a time: enough for two answers of a page. */
const READ_AHEAD = 64;
/** Says that the inode number is not known, as libfuse does: 0 would mean a deleted entry. */
const UNKNOWN_INODE = 0xffffffffn;
const DT = { unknown: 0, pipe: 1, directory: 4, file: 8, link: 10, socket: 12 } as const;

interface Entry {
  name: string;
  kind: number;
}

export function opendir(session: Session, request: Request): Buffer {
  const node = nodeOf(session, request);
  if (node.kind !== "directory") throw new Refusal("ENOTDIR");
  session.handles.requireRoom();
  const listing = listingOf(session, node);
  return encodeOpen(session.handles.addFolder({ node, listing, position: 0, waiting: undefined }), 0);
}

function listingOf({ tree }: Session, node: FileNode): Dir {
  return opendirSync(tree.at(node, ".").toString("latin1"), { encoding: "latin1", bufferSize: READ_AHEAD });
}

/** `struct fuse_dirent` for each entry that fits. */
export function readdir(session: Session, request: Request): Framed {
  return list(session, request, (out, at, entry) => writeDirent(out, at, entry, UNKNOWN_INODE), 0);
}

/** `struct fuse_direntplus`: with what a LOOKUP of each name would have answered. */
export function readdirplus(session: Session, request: Request): Framed {
  const folder = session.handles.folder(readId(request.body, 0)).node;
  return list(session, request, (out, at, entry) => writeFull(session, folder, out, at, entry), ENTRY_BYTES);
}

type Write = (out: Buffer, at: number, entry: Entry) => void;

function list(session: Session, { body }: Request, write: Write, extra: number): Framed {
  const open = session.handles.folder(readId(body, 0));
  const size = Math.min(body.readUInt32LE(16), DATA_MAX);
  const out = Buffer.alloc(REPLY_HEADER + size);
  let at = REPLY_HEADER;
  seek(session, open, readSize(body, 8));
  for (let entry = next(open); entry; entry = next(open)) {
    const length = align(extra + DIRENT_HEADER + entry.name.length);
    if (at + length > out.length) {
      open.waiting = entry;
      break;
    }
    open.position++;
    out.writeBigUInt64LE(BigInt(open.position), at + extra + 8);
    write(out, at, entry);
    at += length;
  }
  return new Framed(out.subarray(0, at));
}

function writeDirent(out: Buffer, at: number, { name, kind }: Entry, inode: bigint): void {
  out.writeBigUInt64LE(inode, at);
  out.writeUInt32LE(name.length, at + 16);
  out.writeUInt32LE(kind, at + 20);
  out.write(name, at + DIRENT_HEADER, "latin1");
}

function writeFull(session: Session, folder: FileNode, out: Buffer, at: number, entry: Entry): void {
  const found = entry.name === "." || entry.name === ".." ? undefined : find(session, folder, entry.name);
  writeEntry(out, at, found?.node.id ?? 0);
  writeDirent(out, at + ENTRY_BYTES, entry, found ? session.tree.inode(found.stats) : UNKNOWN_INODE);
  if (!found) return;
  writeAttributes(out, at + ENTRY_ATTRIBUTES, found.stats, session.tree.inode(found.stats), session.owner);
  found.node.lookups++;
}

/** An entry that cannot be looked at is listed all the same; whoever wants it is told why not. */
function find({ tree }: Session, folder: FileNode, name: string): Found | undefined {
  try {
    return tree.lookup(folder, name);
  } catch {
    return undefined;
  }
}

/** Positions count entries; "." and ".." are the first two. */
function next(open: OpenFolder): Entry | undefined {
  if (open.waiting) {
    const { waiting } = open;
    open.waiting = undefined;
    return waiting;
  }
  if (open.position < 2) return { name: open.position === 0 ? "." : "..", kind: DT.directory };
  const entry = open.listing.readSync();
  return entry ? { name: entry.name, kind: kindOf(entry) } : undefined;
}

function seek(session: Session, open: OpenFolder, position: number): void {
  if (position === open.position) return;
  if (position < open.position) {
    const fresh = listingOf(session, open.node);
    open.listing.closeSync();
    Object.assign(open, { listing: fresh, position: 0, waiting: undefined });
  }
  while (open.position < position && next(open)) open.position++;
}

export function releasedir(session: Session, { body }: Request): undefined {
  const node = session.handles.close(readId(body, 0));
  if (node) session.tree.nodes.drop(node);
}

export async function fsyncdir(session: Session, request: Request): Promise<undefined> {
  const fd = openSync(session.tree.at(nodeOf(session, request), "."), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await promisify(fsync)(fd);
  } finally {
    closeSync(fd);
  }
}

function kindOf(entry: Dirent): number {
  if (entry.isFile()) return DT.file;
  if (entry.isDirectory()) return DT.directory;
  if (entry.isSymbolicLink()) return DT.link;
  if (entry.isFIFO()) return DT.pipe;
  return entry.isSocket() ? DT.socket : DT.unknown;
}

function align(length: number): number {
  return (length + 7) & ~7;
}
