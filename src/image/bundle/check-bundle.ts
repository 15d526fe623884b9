import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { CacheInvalidError, ImageNotFoundError } from "../../errors.js";
import type { LongWork } from "../../progress.js";
import { type Bundle, type BundleFile, COPY_AGAIN, readBundle } from "./format.js";

const CHUNK = 1 << 20;

/** What is wrong with a file of a bundle. */
export interface BundleProblem {
  /** Below the bundle's folder. */
  path: string;
  problem: string;
}

/** What {@link verifyBundle} found. */
export interface BundleDiagnosis {
  path: string;
  problems: BundleProblem[];
  /** How much was read. */
  checked: { files: number; bytes: number };
}

/**
 * Reads every byte of a bundle and compares it with what was written. Loading one compares the sizes of all files and the content of
 * those that are read anyway.
 * @throws ImageNotFoundError when there is no bundle in the folder, CacheInvalidError when its list of files cannot be read
 */
export async function verifyBundle(folder: string, work: LongWork = {}): Promise<BundleDiagnosis> {
  const path = resolve(folder);
  const bundle = await readBundle(path);
  if (!bundle)
    throw new ImageNotFoundError(`there is no bundle in ${path}`, { hint: "`supermachine bundle` makes one." });
  const problems: BundleProblem[] = [];
  for (const file of bundle.files) {
    const step = { phase: "verify" as const, item: file.path, total: file.bytes };
    work.onProgress?.(step);
    const problem = await problemOf(path, file, true, work.signal);
    if (problem !== undefined) problems.push({ path: file.path, problem });
    work.onProgress?.({ ...step, done: file.bytes, finished: true });
  }
  const bytes = bundle.files.reduce((sum, file) => sum + file.bytes, 0);
  return { path, problems, checked: { files: bundle.files.length, bytes } };
}

/** @throws CacheInvalidError when a file is missing, has another size or, if it is one of `read`, another content */
export async function requireWhole(folder: string, { files }: Bundle, read: readonly string[]): Promise<void> {
  const problems = await Promise.all(
    files.map(async (file) => {
      const problem = await problemOf(folder, file, read.includes(file.path));
      return problem && `${file.path} ${problem}`;
    }),
  );
  const unlisted = read
    .filter((path) => !files.some((file) => file.path === path))
    .map((path) => `${path} is not listed`);
  const found = [...problems.filter((problem) => problem !== undefined), ...unlisted];
  if (found.length > 0) throw damaged(folder, found.join("; "));
}

export function damaged(folder: string, what: string): CacheInvalidError {
  return new CacheInvalidError(`the bundle ${folder} is damaged or incomplete: ${what}`, { hint: COPY_AGAIN });
}

/** Digest of a file's content. */
export async function digestOfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: CHUNK }), hash, signal ? { signal } : {});
  return `sha256:${hash.digest("hex")}`;
}

async function problemOf(
  folder: string,
  { path, bytes, digest }: BundleFile,
  withContent: boolean,
  signal?: AbortSignal,
): Promise<string | undefined> {
  try {
    const file = join(folder, path);
    const [facts, real, root] = await Promise.all([stat(file), realpath(file), realpath(folder)]);
    if (!facts.isFile()) return "is not a file";
    if (real !== join(root, path)) return "is a link to somewhere else";
    if (facts.size !== bytes) return `has ${facts.size} bytes instead of ${bytes}`;
    if (withContent && (await digestOfFile(file, signal)) !== digest) return "has another content than was written";
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return "is missing";
    return `cannot be read (${code ?? String(error)})`;
  }
}
