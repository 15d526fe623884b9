import {
  type BigIntStats,
  closeSync,
  constants,
  fchmodSync,
  fdatasync,
  fstatSync,
  fsync as fsyncFile,
  ftruncateSync,
  openSync,
  read as readFile,
  readSync,
  write as writeFile,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { openPinned } from "../anchors.js";
import { type OpenFile, whileOpen } from "../handles.js";
import { type FileNode, isSame } from "../node-table.js";
import { DATA_MAX, encodeOpen, REPLY_HEADER, Refusal, type Request, readId, readName, readSize } from "../wire.js";
import { entryOf, Framed, nodeOf, requireWritable, type Session, writableFolder } from "./session.js";

/** Flags of open(2) as guests have them; those of the host may be others. */
const GUEST = {
  accessMode: 3,
  writeOnly: 1,
  readWrite: 2,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
} as const;
const FOPEN_KEEP_CACHE = 2;
const WRITE_FROM_CACHE = 1;
const FSYNC_DATA_ONLY = 1;
const PERMISSIONS = 0o1777;
/** A change of the content within the same tick of the file system's clock would not be told by its time. */
const SETTLED_MS = 2_000;
/** A pipe in a file's place must not stop us: nothing is waited for, and nothing followed. */
const CAREFULLY = constants.O_NOFOLLOW | constants.O_NONBLOCK;
/**
 * Up to here it is done at once: 2 us of a file in memory, where a thread takes 40. More waits for a thread, so that a slow disk
 * does not stop everything else for long.
 */
const AT_ONCE = 32_768;

const readInThread = promisify(readFile);
const writeInThread = promisify(writeFile);

export function open(session: Session, request: Request): Buffer {
  const node = nodeOf(session, request);
  const flags = request.body.readUInt32LE(0);
  const access = accessOf(flags);
  if (access !== constants.O_RDONLY || flags & GUEST.truncate) requireWritable(session);
  if (node.kind !== "file") throw new Refusal(node.kind === "directory" ? "EISDIR" : "EINVAL");
  session.handles.requireRoom();
  const fd = openAgain(session, node, access);
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (!isSame(node, stats)) throw new Refusal("ESTALE");
    if (flags & GUEST.truncate) ftruncateSync(fd, 0);
    return encodeOpen(keep(session, node, fd, access), cacheFlags(node, stats));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** By its place; or, where it has none any more, by a descriptor that the guest has open. */
function openAgain({ tree }: Session, node: FileNode, access: number): number {
  try {
    return openPinned(tree.place(node), access | CAREFULLY);
  } catch (error) {
    const [opened] = node.open ?? [];
    if (!opened || !(error instanceof Refusal)) throw error;
    return openSync(pathOfDescriptor(opened.fd), access | constants.O_NONBLOCK);
  }
}

export function create(session: Session, request: Request): Buffer {
  const { body } = request;
  const folder = writableFolder(session, request.node);
  const [flags, mode] = [body.readUInt32LE(0), body.readUInt32LE(4) & PERMISSIONS];
  const name = readName(body, 16);
  const access = accessOf(flags);
  const exclusive = flags & GUEST.exclusive ? constants.O_EXCL : 0;
  session.handles.requireRoom();
  const path = session.tree.at(folder, name);
  const present = exclusive ? undefined : session.tree.lookup(folder, name);
  const fd = openSync(path, access | constants.O_CREAT | exclusive | CAREFULLY, mode);
  try {
    const stats = fstatSync(fd, { bigint: true });
    // Somebody on the host was faster, and it is a pipe or the like.
    if (!stats.isFile()) throw new Refusal("EEXIST");
    if (present === undefined && (Number(stats.mode) & PERMISSIONS) !== mode) fchmodSync(fd, mode);
    if (flags & GUEST.truncate) ftruncateSync(fd, 0);
    const now = fstatSync(fd, { bigint: true });
    const node = session.tree.nodes.obtain(folder, name, now);
    const entry = entryOf(session, { node, stats: now });
    return Buffer.concat([entry, encodeOpen(keep(session, node, fd, access), cacheFlags(node, now))]);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function accessOf(flags: number): number {
  const access = flags & GUEST.accessMode;
  if (access === GUEST.writeOnly) return constants.O_WRONLY;
  return access === GUEST.readWrite ? constants.O_RDWR : constants.O_RDONLY;
}

function keep({ handles }: Session, node: FileNode, fd: number, access: number): number {
  const writable = access !== constants.O_RDONLY;
  return handles.addFile({ node, fd, writable, append: undefined, busy: 0, released: false });
}

/** What the guest has of the content stays good if it is of the same time, and that time is over. */
function cacheFlags(node: FileNode, stats: BigIntStats): number {
  const settled = Date.now() - Number(stats.mtimeMs) > SETTLED_MS;
  const same = node.openedAs === stats.mtimeNs;
  node.openedAs = stats.mtimeNs;
  return same && settled ? FOPEN_KEEP_CACHE : 0;
}

export function read(session: Session, { body }: Request): Framed | Promise<Framed> {
  const file = session.handles.file(readId(body, 0));
  const offset = readSize(body, 8);
  const size = Math.min(body.readUInt32LE(16), DATA_MAX);
  const message = Buffer.allocUnsafe(REPLY_HEADER + size);
  const framed = (bytes: number) => new Framed(message.subarray(0, REPLY_HEADER + bytes));
  if (size <= AT_ONCE) return framed(readSync(file.fd, message, REPLY_HEADER, size, offset));
  return whileOpen(file, async () => {
    const { bytesRead } = await readInThread(file.fd, message, REPLY_HEADER, size, offset);
    return framed(bytesRead);
  });
}

export function write(session: Session, { body }: Request): Buffer | Promise<Buffer> {
  const file = session.handles.file(readId(body, 0));
  if (!file.writable) throw new Refusal("EBADF");
  const offset = readSize(body, 8);
  const size = body.readUInt32LE(16);
  const fromCache = (body.readUInt32LE(20) & WRITE_FROM_CACHE) !== 0;
  const data = body.subarray(40, 40 + size);
  if (data.length < size) throw new Refusal("EINVAL");
  // What the kernel writes back from a mapping has its place, however the file was opened.
  const atEnd = (body.readUInt32LE(32) & GUEST.append) !== 0 && !fromCache;
  const fd = atEnd ? appending(file) : file.fd;
  const position = atEnd ? null : offset;
  if (size <= AT_ONCE) return written(writeSync(fd, data, 0, size, position));
  return whileOpen(file, async () => written((await writeInThread(fd, data, 0, size, position)).bytesWritten));
}

/** The guest's idea of where the file ends may be older than what the host has appended. */
function appending(file: OpenFile): number {
  if (file.append !== undefined) return file.append;
  file.append = openSync(pathOfDescriptor(file.fd), constants.O_WRONLY | constants.O_APPEND);
  return file.append;
}

function pathOfDescriptor(fd: number): string {
  return process.platform === "linux" ? `/proc/self/fd/${fd}` : `/dev/fd/${fd}`;
}

function written(bytes: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeUInt32LE(bytes, 0);
  return out;
}

export function fsync(session: Session, { body }: Request): Promise<undefined> {
  const file = session.handles.file(readId(body, 0));
  const flush = promisify(body.readUInt32LE(8) & FSYNC_DATA_ONLY ? fdatasync : fsyncFile);
  return whileOpen(file, async () => {
    await flush(file.fd);
    return undefined;
  });
}

export function release(session: Session, { body }: Request): undefined {
  const node = session.handles.close(readId(body, 0));
  if (node) session.tree.nodes.drop(node);
}
