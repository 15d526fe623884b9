import { type FileHandle, mkdir, open, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { tryLock } from "fs-native-extensions";
import { explainingNoSpace } from "./no-space.js";

const POLL_MS = 20;

/**
 * An exclusive lock between processes (and between callers of one process): a kernel lock on the file `path`, so it
 * ends with the process that holds it, however that ends. Waits until it is free or `signal` aborts.
 */
export async function acquireLock(path: string, signal?: AbortSignal): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  for (;;) {
    signal?.throwIfAborted();
    const held = await explainingNoSpace(path, () => tryAcquireLock(path));
    if (held) return held;
    // Its own error would hide the reason of the signal, which is thrown above.
    await sleep(POLL_MS, undefined, { signal: signal as AbortSignal }).catch(() => undefined);
  }
}

/** Like {@link acquireLock}, but gives `undefined` at once when somebody else holds the lock. */
export async function tryAcquireLock(path: string): Promise<AsyncDisposable | undefined> {
  const file = await open(path, "a");
  try {
    if (tryLock(file.fd) && (await isStillAt(file, path))) return release(file, path);
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

/** A former holder may have removed the file between our open and our lock; that lock then guards nothing. */
async function isStillAt(file: FileHandle, path: string): Promise<boolean> {
  const [ours, theirs] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return theirs !== undefined && ours.ino === theirs.ino && ours.dev === theirs.dev;
}

function release(file: FileHandle, path: string): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      // Removed while still held, so that nobody can be holding the file that goes away.
      await unlink(path).catch(() => undefined);
      await file.close();
    },
  };
}
