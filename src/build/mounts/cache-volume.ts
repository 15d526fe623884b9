import { createHash } from "node:crypto";
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CacheMount } from "../../dockerfile/index.js";
import type { LongWork } from "../../progress.js";
import { acquireLock, home, tryAcquireLock } from "../../store/index.js";
import { makeImage, readImage } from "../../volumes/index.js";

/** A sparse file: what is not used takes no space. */
const SIZE_MIB = 16 * 1024;

/** A cache of `RUN --mount=type=cache` that is this command's alone until it is disposed of. */
export interface HeldCache extends AsyncDisposable {
  /** An image file with ext4. */
  path: string;
  /** Nothing has been in it yet. */
  isFresh: boolean;
  /** To be called when it holds what it begins with. */
  begun(): void;
}

/** Names a cache. What it begins with is a part of it, as in BuildKit. */
export function cacheName({ id, mode, uid, gid }: CacheMount, seed: string | undefined): string {
  return createHash("sha256")
    .update(JSON.stringify([id, mode, uid, gid, seed]))
    .digest("hex");
}

/**
 * Waits for a cache and makes it if it is missing. A file system can be in one machine at a time, so commands that share a cache run one after
 * the other; a private one that is in use gets a sibling.
 * @throws AssetsError when mke2fs is not to be had
 */
export async function holdCache(
  name: string,
  sharing: CacheMount["sharing"],
  work: LongWork,
  folder = join(home().builds, "caches"),
): Promise<HeldCache> {
  await mkdir(folder, { recursive: true });
  const { path, lock } = await lockCache(join(folder, name), sharing, work.signal);
  const marker = `${path}.used`;
  try {
    const isFresh = !(await isUsable(path, marker));
    if (isFresh) await begin(path, marker, work);
    let hasBegun = false;
    return {
      path,
      isFresh,
      begun: () => {
        hasBegun = true;
      },
      async [Symbol.asyncDispose]() {
        try {
          if (hasBegun && (await isClean(path))) await writeFile(marker, "");
        } finally {
          await lock[Symbol.asyncDispose]();
        }
      },
    };
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

async function lockCache(base: string, sharing: CacheMount["sharing"], signal: AbortSignal | undefined) {
  if (sharing !== "private") return { path: `${base}.img`, lock: await acquireLock(`${base}.img.lock`, signal) };
  for (let number = 0; ; number++) {
    const path = number === 0 ? `${base}.img` : `${base}-${number}.img`;
    const lock = await tryAcquireLock(`${path}.lock`);
    if (lock) return { path, lock };
  }
}

/** A cache that its kernel has found errors in, or that was never finished, is made anew: it is only a cache. */
async function isUsable(path: string, marker: string): Promise<boolean> {
  try {
    await stat(marker);
    return (await readImage(path)).state !== "errors";
  } catch {
    return false;
  }
}

/** What it begins with may not be on the disk when its machine did not end in order; and the guest may have written anything there. */
function isClean(path: string): Promise<boolean> {
  return readImage(path).then(
    ({ state }) => state === "clean",
    () => false,
  );
}

async function begin(path: string, marker: string, work: LongWork): Promise<void> {
  await rm(marker, { force: true });
  await rm(path, { force: true });
  await makeImage(path, SIZE_MIB, work);
}
