import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { acquireLock, tryAcquireLock } from "./lock.js";
import { explainingNoSpace } from "./no-space.js";

const PARTIAL = ".partial";
const LOCK = ".lock";

/** Options of {@link produceOnce}. */
export interface ProduceOptions<T> {
  /** Gives what is at `path` when it is there and usable, else `undefined`. Called again once the lock is held. */
  find: () => Promise<T | undefined>;
  /** Makes it at `partial`, a path beside `path` at which nothing exists; it is renamed to `path` afterwards. */
  make: (partial: string) => Promise<void>;
  signal?: AbortSignal;
}

/**
 * Makes the file or folder `path` unless it is there. Two processes that want the same thing make it once; a half-made
 * thing is never visible under `path`, and what a killed process left is cleared by the next one.
 */
export async function produceOnce<T>(path: string, options: ProduceOptions<T>): Promise<T> {
  const present = await options.find();
  if (present !== undefined) return present;
  await using _lock = await acquireLock(path + LOCK, options.signal);
  const meanwhile = await options.find();
  if (meanwhile !== undefined) return meanwhile;
  await replace(path, options.make);
  const made = await options.find();
  if (made === undefined) throw new Error(`${path} was written but cannot be read back`);
  return made;
}

/** Writes a file or folder beside its place, flushes it and renames it into place. The caller holds the lock. */
export async function replace(path: string, make: (partial: string) => Promise<void>): Promise<void> {
  const partial = path + PARTIAL;
  await mkdir(dirname(path), { recursive: true });
  await rm(partial, { recursive: true, force: true });
  try {
    await explainingNoSpace(path, async () => {
      await make(partial);
      await flush(partial);
    });
    // rename() cannot replace a folder that has content.
    const old = `${path}.old${PARTIAL}`;
    await rm(old, { recursive: true, force: true });
    await rename(path, old).catch(ignoreMissing);
    await rename(partial, path);
    await rm(old, { recursive: true, force: true });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** Removes what killed processes left half-made in `folder`. */
export async function sweepPartials(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names.filter((each) => each.endsWith(PARTIAL))) {
    const owner = join(folder, name.replace(/(\.old)?\.partial$/, ""));
    const lock = await tryAcquireLock(owner + LOCK);
    if (!lock) continue;
    await rm(join(folder, name), { recursive: true, force: true });
    await lock[Symbol.asyncDispose]();
  }
}

/** Whether a name in a store folder is an entry, not a lock or something half-made. */
export function isEntry(name: string): boolean {
  return !basename(name).endsWith(PARTIAL) && !basename(name).endsWith(LOCK);
}

async function flush(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    if ((await file.stat()).isDirectory()) {
      for (const name of await readdir(path)) await flush(join(path, name));
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
