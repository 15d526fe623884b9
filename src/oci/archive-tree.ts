import { type FileHandle, open, stat } from "node:fs/promises";
import { ImageError, ImageNotFoundError } from "../errors.js";
import { indexArchive, type ReadAt } from "./archive-index.js";
import type { FileTree } from "./file-tree.js";
import { readRange } from "./read-range.js";
import { BLOCK_BYTES } from "./tar-header.js";
import { unpackOnce } from "./unpack-archive.js";

const WINDOW_BYTES = 32 * 1024;

const COMPRESSIONS = [
  { magic: [0x28, 0xb5, 0x2f, 0xfd], name: "zstd", command: "zstd -d" },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], name: "xz", command: "xz -d" },
  { magic: [0x42, 0x5a, 0x68], name: "bzip2", command: "bzip2 -d" },
];

/**
 * Opens a tar file in place: its headers are read once, its files straight out of it afterwards. One packed by gzip
 * is unpacked first, once, into the blob store, where the next call finds it as long as the archive is unchanged.
 */
export async function openArchive(path: string, name: string, signal?: AbortSignal): Promise<FileTree> {
  const file = await openPlain(path, name, signal);
  try {
    const { size: fileSize } = await file.stat();
    const find = await indexArchive(windowed(file, signal), fileSize, name);
    return tree(file, name, find);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openPlain(path: string, name: string, signal: AbortSignal | undefined): Promise<FileHandle> {
  const file = await openFile(path, name);
  let isPlain = false;
  try {
    isPlain = !(await isGzip(file, name));
  } finally {
    if (!isPlain) await file.close();
  }
  return isPlain ? file : open(await unpackOnce(path, name, signal), "r");
}

function tree(file: FileHandle, name: string, find: Awaited<ReturnType<typeof indexArchive>>): FileTree {
  return {
    name,
    async size(wanted) {
      return find(wanted)?.size;
    },
    async open(wanted, signal, length = Number.POSITIVE_INFINITY) {
      signal?.throwIfAborted();
      const range = find(wanted);
      if (range === undefined) throw new ImageNotFoundError(`${name} has no file ${wanted}`);
      const size = Math.min(range.size, length);
      return readRange(file, { offset: range.offset, size, name: `${wanted} in ${name}` }, { signal });
    },
    async [Symbol.asyncDispose]() {
      await file.close();
    },
  };
}

async function openFile(path: string, name: string): Promise<FileHandle> {
  const found = await stat(path).catch(ignoreMissing);
  if (found === undefined) throw new ImageNotFoundError(`${name}: there is no file ${path}`);
  if (found.isDirectory()) {
    throw new ImageError(`${name}: ${path} is a folder`, { hint: `If it is an OCI layout, write oci-layout:${path}` });
  }
  if (!found.isFile()) {
    const hint = "An archive is read at many places, so it cannot be a pipe; save it to a file first.";
    throw new ImageError(`${name}: ${path} is not a regular file`, { hint });
  }
  return open(path, "r").catch((cause: NodeJS.ErrnoException) => {
    throw new ImageError(`${name}: ${path} cannot be read: ${cause.code}`, { cause });
  });
}

/** Headers of small entries stand close together: a window over the file makes one read out of many. */
function windowed(file: FileHandle, signal: AbortSignal | undefined): ReadAt {
  let window = { start: 0, bytes: Buffer.alloc(0) };
  return async (position, length) => {
    signal?.throwIfAborted();
    const within = position - window.start;
    if (within < 0 || within + length > window.bytes.length) {
      const buffer = Buffer.allocUnsafe(Math.max(length, WINDOW_BYTES));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      window = { start: position, bytes: buffer.subarray(0, bytesRead) };
    }
    return window.bytes.subarray(position - window.start, position - window.start + length);
  };
}

async function isGzip(file: FileHandle, name: string): Promise<boolean> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(BLOCK_BYTES), 0, BLOCK_BYTES, 0);
  if (bytesRead === 0) throw new ImageError(`${name} is empty`);
  for (const { magic, name: method, command } of COMPRESSIONS) {
    if (!magic.every((byte, i) => buffer[i] === byte)) continue;
    throw new ImageError(`${name} is packed by ${method}, which is not read directly`, {
      hint: `Unpack it with "${command}" and use the result; only gzip is unpacked here.`,
    });
  }
  return buffer[0] === 0x1f && buffer[1] === 0x8b;
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}
