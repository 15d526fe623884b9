import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { tryAcquireLock } from "./lock.js";

const LOCK = ".lock";
let counter = 0;

/** A path for a file that is needed only for a while; whatever is there is removed in the end. */
export interface Scratch extends AsyncDisposable {
  readonly path: string;
}

/** A path in `folder`, at which nothing is yet, that nobody else uses. What a killed process leaves there, {@link sweepScratch} removes. */
export async function openScratch(folder: string, extension: string): Promise<Scratch> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${process.pid}-${counter++}.${extension}`);
  const lock = await tryAcquireLock(path + LOCK);
  if (!lock) throw new Error(`${path} is in use by another process`);
  // What an earlier process of the same number may have left.
  await rm(path, { force: true });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { force: true });
      await lock[Symbol.asyncDispose]();
    },
  };
}

/** Removes the scratch files whose owners have died; each is passed to `before` first. */
export async function sweepScratch(
  folder: string,
  extension: string,
  before?: (path: string) => Promise<void>,
): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names.filter((each) => each.endsWith(`.${extension}`))) {
    const path = join(folder, name);
    const lock = await tryAcquireLock(path + LOCK);
    if (!lock) continue;
    try {
      await before?.(path);
      await rm(path, { force: true });
    } finally {
      await lock[Symbol.asyncDispose]();
    }
  }
}
