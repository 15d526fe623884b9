import type { Readable } from "node:stream";
import { GuestFileError, UsageError, VmError } from "../errors.js";
import { ChannelReadable } from "./channel.js";
import { decodeFailure, ResultKind } from "./failure.js";
import { FieldWriter } from "./fields.js";
import type { Link } from "./link.js";
import type { GuestStream, StreamHandler } from "./stream.js";

const KIND_FILE_READ = 2;
const KIND_FILE_WRITE = 3;
const FLAG_CREATE_PARENTS = 1;
/** A guest may send without end; more than this is for {@link openRead}. */
const READ_MAX = 2 ** 31 - 1;

export interface ReadOptions {
  /** Where to begin, in bytes. */
  offset?: number;
  /** At most so many bytes. */
  length?: number;
  signal?: AbortSignal;
}

export interface WriteOptions {
  /** Permission bits; those of the file that is replaced, else 0644. */
  mode?: number;
  /** Owner, in the form of {@link ExecRequest.user}; that of the file that is replaced, else root. */
  user?: string;
  /** Make the folders that are missing. */
  createParents?: boolean;
  signal?: AbortSignal;
}

/** What a file in the guest is written from. */
export type FileContent = string | Uint8Array | Readable | AsyncIterable<Uint8Array | string>;

/** The file's bytes as they come. Fails with GuestFileError or VmError. */
export function openRead(link: Link, path: string, options: ReadOptions = {}): Readable {
  const payload = encodeRead(path, options);
  let stream: GuestStream | undefined;
  const readable = new ChannelReadable((bytes) => stream?.consumed(0, bytes));
  let ended = false;
  const handler: StreamHandler = {
    data: (_channel, bytes) => readable.deliver(bytes),
    end: () => {
      ended = true;
    },
    result: (kind, result) => {
      if (kind === ResultKind.failed) readable.destroy(fileError(result, "read", path));
      else if (kind === ResultKind.done && ended) readable.finish();
      else throw new Error(`an unexpected RESULT ${kind} for a file`);
      return true;
    },
    failed: (error) => readable.destroy(error),
  };
  stream = link.open(payload, 1, handler);
  readable.once("close", () => stream?.close());
  abortWith(options.signal, readable);
  return readable;
}

/** The whole file, or the part that was asked for. */
export async function readFile(link: Link, path: string, options: ReadOptions = {}): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of openRead(link, path, options) as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > READ_MAX) {
      const details = { errno: "EFBIG", path, hint: "Read it piece by piece with openRead." };
      throw new GuestFileError(`${path} in the guest is larger than 2 GiB`, details);
    }
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, total);
}

/** Writes the file as a whole or not at all. */
export async function writeFile(
  link: Link,
  path: string,
  content: FileContent,
  options: WriteOptions = {},
): Promise<void> {
  options.signal?.throwIfAborted();
  const payload = encodeWrite(path, options);
  let stream: GuestStream | undefined;
  let settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  const outcome = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  outcome.catch(() => {});
  stream = link.open(payload, 0, {
    data: () => {},
    end: () => {},
    result: (kind, result) => {
      if (kind === ResultKind.failed) settle?.reject(fileError(result, "write", path));
      else if (kind === ResultKind.done) settle?.resolve();
      else throw new Error(`an unexpected RESULT ${kind} for a file`);
      return true;
    },
    failed: (error) => settle?.reject(error),
  });
  const abort = (): void => {
    stream?.close();
    settle?.reject(options.signal?.reason);
  };
  options.signal?.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([send(stream, content), outcome]);
    await outcome;
  } finally {
    options.signal?.removeEventListener("abort", abort);
    // Closed early, nothing of the file is left behind; after its end this does nothing.
    stream.close();
  }
}

async function send(stream: GuestStream, content: FileContent): Promise<void> {
  if (typeof content === "string" || content instanceof Uint8Array) await sendPiece(stream, content);
  else
    for await (const piece of content as AsyncIterable<Uint8Array | string>) {
      await sendPiece(stream, piece);
      // Leaving the loop ends the source, too.
      if (stream.over) return;
    }
  stream.end(() => {});
}

/** Resolves when the piece has left, or the stream is over: then its RESULT says why. */
function sendPiece(stream: GuestStream, piece: Uint8Array | string): Promise<void> {
  const bytes =
    typeof piece === "string" ? Buffer.from(piece) : Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  if (bytes.length === 0) return Promise.resolve();
  return new Promise((resolve) => {
    stream.write(bytes, () => resolve());
  });
}

function encodeRead(path: string, options: ReadOptions): Buffer {
  const fields = new FieldWriter().kind(KIND_FILE_READ).string(1, checkedPath(path));
  if (options.offset !== undefined) fields.u64(2, checkedSize(options.offset, "offset"));
  if (options.length !== undefined) fields.u64(3, checkedSize(options.length, "length"));
  return fields.toBuffer();
}

function encodeWrite(path: string, options: WriteOptions): Buffer {
  const fields = new FieldWriter().kind(KIND_FILE_WRITE).string(1, checkedPath(path));
  if (options.mode !== undefined) fields.u32(2, options.mode & 0o7777);
  if (options.user !== undefined) fields.string(3, options.user);
  fields.u32(4, options.createParents ? FLAG_CREATE_PARENTS : 0);
  return fields.toBuffer();
}

function checkedPath(path: string): string {
  if (path === "" || path.includes("\0") || Buffer.byteLength(path) > 4095) {
    throw new UsageError(`Not a path in the guest: ${JSON.stringify(path.slice(0, 100))}`);
  }
  return path;
}

function checkedSize(value: number, option: string): bigint {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new UsageError(`${option} must be a whole number of bytes, not ${value}`);
  return BigInt(value);
}

function fileError(payload: Buffer, verb: string, path: string): GuestFileError {
  const failure = decodeFailure(payload);
  return new GuestFileError(`Could not ${verb} ${path} in the guest: ${failure.text}`, { errno: failure.errno, path });
}

function abortWith(signal: AbortSignal | undefined, readable: Readable): void {
  if (!signal) return;
  const abort = (): void => {
    readable.destroy(signal.reason instanceof Error ? signal.reason : new VmError("Reading the file was given up"));
  };
  signal.addEventListener("abort", abort, { once: true });
  readable.once("close", () => signal.removeEventListener("abort", abort));
  if (signal.aborted) abort();
}
