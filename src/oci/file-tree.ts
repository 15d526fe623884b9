import type { Readable } from "node:stream";
import { ImageError, ImageNotFoundError } from "../errors.js";
import { printable } from "./printable.js";

/** Files under `/`-separated names, whether in a folder or in a tar file. Nothing outside of it can be reached. */
export interface FileTree extends AsyncDisposable {
  /** The source's text, for messages. */
  readonly name: string;
  /** Size in bytes, or `undefined` when there is no such file. */
  size(path: string): Promise<number | undefined>;
  /** Streams a file, or no more than its first `length` bytes. */
  open(path: string, signal?: AbortSignal, length?: number): Promise<Readable>;
}

/**
 * `name` without `.` and empty parts, or `undefined` when it is absolute, climbs out with `..`, or cannot be a name.
 */
export function normalizePath(name: string): string | undefined {
  if (name.startsWith("/") || name.includes("\0")) return undefined;
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}

/** Reads a file of at most `limit` bytes as a whole. */
export async function readWhole(
  tree: FileTree,
  path: string,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const size = await tree.size(path);
  if (size === undefined) throw new ImageNotFoundError(`${tree.name} has no file ${printable(path)}`);
  if (size > limit)
    throw new ImageError(`${printable(path)} in ${tree.name} is ${size} bytes long; at most ${limit} are allowed`);
  return collect(await tree.open(path, signal), limit);
}

/** Gathers a stream of at most `limit` bytes. */
export async function collect(stream: Readable, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) throw new ImageError(`a document is longer than the ${limit} bytes that are allowed`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}
