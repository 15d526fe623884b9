import { setTimeout as sleep } from "node:timers/promises";
import { VmError } from "../errors.js";
import { decodeFailure, ResultKind } from "./failure.js";
import { Fields, FieldWriter } from "./fields.js";
import { checkedPath, fileError } from "./files.js";
import type { Link } from "./link.js";

const KIND = { in: 49, out: 50 } as const;
const FLAG = { xattrs: 1, follow: 2, oneFileSystem: 4 } as const;
const CONTROL_SIGNAL = 1;
const SIGTERM = 15;
const FIGURES_BYTES = 16;
/** A copy that was given up removes what it had made, which may be many files; then it has said so. */
const CLEAN_UP_LIMIT_MS = 60_000;

/** How much has been copied. */
export interface CopyFigures {
  files: number;
  bytes: number;
}

/** What is copied from a disk with EROFS, and what it becomes. */
export interface CopyInRequest {
  lun: number;
  /** Absolute, on the disk; all of it by default. */
  source?: string;
  /** What it becomes: the folder above it must be there. A folder is merged with one that is there. */
  path: string;
  /** Owner of everything, as `user` of {@link ExecRequest}; by default each file's own on the disk. */
  owner?: string | undefined;
  /** Whether there are extended attributes to copy. */
  hasXattrs?: boolean;
}

export interface CopyOptions {
  onProgress?: ((figures: CopyFigures) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Rejects with GuestFileError, or with the signal's reason once the guest has removed what was half done. */
export function copyIn(link: Link, request: CopyInRequest, options: CopyOptions): Promise<CopyFigures> {
  const fields = new FieldWriter().kind(KIND.in).u16(1, request.lun).string(2, checkedPath(request.path));
  fields.u32(3, request.hasXattrs ? FLAG.xattrs : 0);
  if (request.source !== undefined) fields.string(5, checkedPath(request.source));
  if (request.owner !== undefined) fields.string(6, request.owner);
  return runCopy(link, fields.toBuffer(), { verb: "copy to", path: request.path }, options);
}

/** What is copied to a disk as a tar archive. */
export interface CopyOutRequest {
  lun: number;
  /** Absolute. */
  path: string;
  /** What the archive calls it. */
  name: string;
  /** Whether the path is followed if it is a symbolic link. */
  follows: boolean;
  /** Leaves out what is mounted below it. */
  oneFileSystem?: boolean | undefined;
}

/** Gives the archive's length, too. Rejects as {@link copyIn}. */
export async function copyOut(
  link: Link,
  request: CopyOutRequest,
  options: CopyOptions,
): Promise<CopyFigures & { length: number }> {
  const fields = new FieldWriter().kind(KIND.out).u16(1, request.lun).string(2, checkedPath(request.path));
  const flags = (request.follows ? FLAG.follow : 0) | (request.oneFileSystem ? FLAG.oneFileSystem : 0);
  fields.u32(3, flags).string(5, checkedPath(request.name));
  const { length, ...figures } = await runCopy(link, fields.toBuffer(), { verb: "copy", path: request.path }, options);
  if (length === undefined) throw new VmError("the guest did not say how long the archive of the copy is");
  return { ...figures, length };
}

async function runCopy(
  link: Link,
  payload: Buffer,
  { verb, path }: { verb: string; path: string },
  { onProgress, signal }: CopyOptions,
): Promise<Done> {
  signal?.throwIfAborted();
  let settle: { resolve: (done: Done) => void; reject: (error: unknown) => void } | undefined;
  const outcome = new Promise<Done>((resolve, reject) => {
    settle = { resolve, reject };
  });
  let rest = Buffer.alloc(0);
  const stream = link.open(payload, 1, {
    data: (_channel, bytes) => {
      stream.consumed(0, bytes.length);
      const all = Buffer.concat([rest, bytes]);
      const whole = all.length - (all.length % FIGURES_BYTES);
      rest = Buffer.from(all.subarray(whole));
      if (whole > 0 && !signal?.aborted) onProgress?.(decodeFigures(all.subarray(whole - FIGURES_BYTES, whole)));
    },
    end: () => {},
    result: (kind, result) => {
      if (kind === ResultKind.failed) settle?.reject(fileError(decodeFailure(result), verb, path));
      else if (kind === ResultKind.done) settle?.resolve(decodeDone(result));
      else throw new Error(`an unexpected RESULT ${kind}`);
      return true;
    },
    failed: (error) => settle?.reject(error),
  });
  const abort = async () => {
    stream.control(new FieldWriter().kind(CONTROL_SIGNAL).u32(1, SIGTERM).toBuffer());
    await sleep(CLEAN_UP_LIMIT_MS, undefined, { ref: false });
    settle?.reject(signal?.reason);
  };
  signal?.addEventListener("abort", abort, { once: true });
  try {
    return await outcome;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    stream.close();
  }
}

function decodeFigures(bytes: Buffer): CopyFigures {
  return { files: Number(bytes.readBigUInt64LE(0)), bytes: Number(bytes.readBigUInt64LE(8)) };
}

type Done = CopyFigures & { length?: number };

function decodeDone(result: Buffer): Done {
  const fields = new Fields(result, [1, 2, 3]);
  const figures = { files: Number(fields.u64(1)), bytes: Number(fields.u64(2)) };
  return fields.has(3) ? { ...figures, length: Number(fields.u64(3)) } : figures;
}
