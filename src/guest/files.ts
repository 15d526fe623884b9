import { type Readable, Writable } from "node:stream";
import { GuestFileError, UsageError, VmError } from "../errors.js";
import { ChannelReadable } from "./channel.js";
import { decodeFailure, type Failure, ResultKind } from "./failure.js";
import { FieldWriter } from "./fields.js";
import type { Link } from "./link.js";
import type { GuestStream, StreamHandler } from "./stream.js";

const KIND_FILE_READ = 2;
const KIND_FILE_WRITE = 3;
const FLAG = { createParents: 1, inPlace: 2, append: 4, truncate: 8 } as const;
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
  /** Write into the file that is there (or a new one) instead of replacing it: from `offset` on, at its end, or after emptying it. */
  inPlace?: { offset?: number; append?: boolean; truncate?: boolean };
  signal?: AbortSignal;
}

/** What a file in the guest is written from. */
export type FileContent = string | Uint8Array | Readable | AsyncIterable<Uint8Array | string>;

/** The file's bytes as they come. Fails with GuestFileError or VmError. */
export function openRead(link: Link, path: string, options: ReadOptions = {}): Readable {
  return openChannel(link, encodeRead(path, options), { verb: "read", path, signal: options.signal });
}

/** A stream whose channel is all that matters. Fails with GuestFileError, which names what was done with the path, or VmError. */
export function openChannel(
  link: Link,
  payload: Buffer,
  { verb, path, signal }: { verb: string; path: string; signal?: AbortSignal | undefined },
): Readable {
  let stream: GuestStream | undefined;
  const readable = new ChannelReadable((bytes) => stream?.consumed(0, bytes));
  let ended = false;
  const handler: StreamHandler = {
    data: (_channel, bytes) => readable.deliver(bytes),
    end: () => {
      ended = true;
    },
    result: (kind, result) => {
      if (kind === ResultKind.failed) readable.destroy(fileError(decodeFailure(result), verb, path));
      else if (kind === ResultKind.done && ended) readable.finish();
      else throw new Error(`an unexpected RESULT ${kind} for a file`);
      return true;
    },
    failed: (error) => readable.destroy(error),
  };
  stream = link.open(payload, 1, handler);
  readable.once("close", () => stream?.close());
  abortWith(signal, readable);
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
  const { stream, outcome, release } = startWrite(link, path, options);
  try {
    await Promise.race([send(stream, content), outcome]);
    await outcome;
  } finally {
    release();
    // Closed early, nothing of the file is left behind; after its end this does nothing.
    stream.close();
  }
}

/** Writes the file as its bytes come. Until its end, a file that is replaced is as it was. Fails with GuestFileError or VmError. */
export function openWrite(link: Link, path: string, options: WriteOptions = {}): Writable {
  const { stream, outcome, release } = startWrite(link, path, options);
  const writable = new Writable({
    highWaterMark: 65_536,
    // When the stream is over, its outcome tells why.
    write: (chunk: Buffer, _encoding, done) => stream.write(chunk, (error) => (error ? outcome.catch(done) : done())),
    final: (done) => {
      stream.end(() => {});
      outcome.then(() => done(), done);
    },
    destroy: (error, done) => {
      release();
      stream.close();
      done(error);
    },
  });
  outcome.catch((error: Error) => writable.destroy(error));
  return writable;
}

function startWrite(link: Link, path: string, options: WriteOptions) {
  options.signal?.throwIfAborted();
  const payload = encodeWrite(path, options);
  let settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  const outcome = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  outcome.catch(() => {});
  const stream = link.open(payload, 0, {
    data: () => {},
    end: () => {},
    result: (kind, result) => {
      if (kind === ResultKind.failed) settle?.reject(fileError(decodeFailure(result), "write", path));
      else if (kind === ResultKind.done) settle?.resolve();
      else throw new Error(`an unexpected RESULT ${kind} for a file`);
      return true;
    },
    failed: (error) => settle?.reject(error),
  });
  const abort = (): void => {
    stream.close();
    settle?.reject(options.signal?.reason);
  };
  options.signal?.addEventListener("abort", abort, { once: true });
  return { stream, outcome, release: () => options.signal?.removeEventListener("abort", abort) };
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
  const { createParents, inPlace } = options;
  fields.u32(
    4,
    (createParents ? FLAG.createParents : 0) |
      (inPlace ? FLAG.inPlace : 0) |
      (inPlace?.append ? FLAG.append : 0) |
      (inPlace?.truncate ? FLAG.truncate : 0),
  );
  if (inPlace?.offset) fields.u64(5, checkedSize(inPlace.offset, "offset"));
  return fields.toBuffer();
}

export function checkedPath(path: string): string {
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

export function fileError(failure: Failure, verb: string, path: string): GuestFileError {
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
