import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import type { FileNode } from "../node-table.js";
import { ENTRY_BYTES, Refusal, type Request, readId, readName, readTarget, writeEntry } from "../wire.js";
import { entryOf, newEntry, nodeOf, type Session, writableFolder } from "./session.js";

const TYPE = 0o170000;
const REGULAR = 0o100000;
const PERMISSIONS = 0o1777;
const RENAME_NOREPLACE = 1;
const NEW_FILE = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW;
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

export function lookup(session: Session, request: Request): Buffer {
  const found = session.tree.lookup(nodeOf(session, request), readName(request.body, 0));
  if (found) return entryOf(session, found);
  // That there is nothing may be believed as long as anything else.
  const out = Buffer.alloc(ENTRY_BYTES);
  writeEntry(out, 0, 0);
  return out;
}

/** Only regular files: a device, pipe or socket that a guest makes has no business on the host. */
export function mknod(session: Session, request: Request): Buffer {
  const folder = writableFolder(session, request.node);
  const mode = request.body.readUInt32LE(0);
  const name = readName(request.body, 16);
  if ((mode & TYPE) !== REGULAR) throw new Refusal("EPERM");
  withMode(openSync(session.tree.at(folder, name), NEW_FILE, mode & PERMISSIONS), mode);
  return newEntry(session, folder, name);
}

export function mkdir(session: Session, request: Request): Buffer {
  const folder = writableFolder(session, request.node);
  const mode = request.body.readUInt32LE(0);
  const name = readName(request.body, 8);
  const path = session.tree.at(folder, name);
  mkdirSync(path, mode & PERMISSIONS);
  withMode(openSync(path, FOLDER), mode);
  return newEntry(session, folder, name);
}

/** Our own umask has no say in what a guest asks for. Closes the descriptor. */
function withMode(fd: number, mode: number): void {
  try {
    if (((fstatSync(fd).mode ^ mode) & PERMISSIONS) !== 0) fchmodSync(fd, mode & PERMISSIONS);
  } finally {
    closeSync(fd);
  }
}

export function unlink(session: Session, request: Request): undefined {
  const folder = writableFolder(session, request.node);
  unlinkSync(session.tree.at(folder, readName(request.body, 0)));
}

export function rmdir(session: Session, request: Request): undefined {
  const folder = writableFolder(session, request.node);
  rmdirSync(session.tree.at(folder, readName(request.body, 0)));
}

export function rename(session: Session, request: Request): undefined {
  move(session, request, 8, 0);
}

export function rename2(session: Session, request: Request): undefined {
  move(session, request, 16, request.body.readUInt32LE(8));
}

function move(session: Session, { node, body }: Request, namesAt: number, flags: number): void {
  const { tree } = session;
  const from = writableFolder(session, node);
  const to = writableFolder(session, readId(body, 0));
  const name = readName(body, namesAt);
  const newName = readName(body, namesAt + name.length + 1);
  // Node has no call that exchanges two files.
  if (flags & ~RENAME_NOREPLACE) throw new Refusal("EINVAL");
  const target = tree.at(to, newName);
  if (flags & RENAME_NOREPLACE && lstatSync(target, { throwIfNoEntry: false })) throw new Refusal("EEXIST");
  const stats = lstatSync(tree.at(from, name), { bigint: true, throwIfNoEntry: false });
  if (!stats) throw new Refusal("ENOENT");
  renameSync(tree.at(from, name), target);
  const moved = tree.nodes.find(from, name, stats);
  if (moved) tree.nodes.move(moved, to, newName);
}

export function link(session: Session, request: Request): Buffer {
  const { tree } = session;
  const folder = writableFolder(session, request.node);
  const old: FileNode = tree.nodes.get(readId(request.body, 0));
  const name = readName(request.body, 8);
  linkSync(tree.place(old), tree.at(folder, name));
  return newEntry(session, folder, name);
}

export function symlink(session: Session, request: Request): Buffer {
  if (session.symlinks === "deny") throw new Refusal("EPERM");
  const folder = writableFolder(session, request.node);
  const name = readName(request.body, 0);
  const target = Buffer.from(readTarget(request.body, name.length + 1), "latin1");
  symlinkSync(target, session.tree.at(folder, name));
  return newEntry(session, folder, name);
}

export function readlink(session: Session, request: Request): Buffer {
  if (session.symlinks === "deny") throw new Refusal("EACCES");
  return readlinkSync(session.tree.place(nodeOf(session, request)), { encoding: "buffer" });
}
