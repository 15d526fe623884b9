import { randomUUID } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { home } from "./home.js";
import { acquireLock, tryAcquireLock } from "./lock.js";
import { explainingNoSpace } from "./no-space.js";

const LEASE = ".lease";
const STORE_LOCK = "store.lock";

/**
 * Keeps things in the stores from being pruned while nothing refers to them yet: a bake's layers, until its snapshot is written.
 * It ends with the process, however that ends.
 *
 * @param paths what is below a folder is covered with it; what is not in this home is never pruned anyhow
 */
export async function lease(paths: readonly string[], signal?: AbortSignal): Promise<AsyncDisposable> {
  const path = join(home().run, `${randomUUID()}${LEASE}`);
  // Whoever prunes holds this lock from reading the leases to taking things away: either it sees ours, or we see that they are gone.
  await using _store = await lockStore(signal);
  return await explainingNoSpace(path, () => write(path, paths, signal));
}

async function write(
  path: string,
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<AsyncDisposable> {
  const held = await acquireLock(path, signal);
  try {
    // The same home may have another name for other processes.
    const { root } = home();
    await writeFile(path, paths.map((each) => relative(root, each)).join("\n"));
    return held;
  } catch (error) {
    await held[Symbol.asyncDispose]();
    throw error;
  }
}

/** The lock that taking a lease and pruning need; to be held for a moment only. */
export function lockStore(signal?: AbortSignal): Promise<AsyncDisposable> {
  return acquireLock(join(home().run, STORE_LOCK), signal);
}

/** What living processes have leased. The caller holds the store's lock, and looks here before it looks for what refers to what. */
export async function readLeases(): Promise<(path: string) => boolean> {
  await sweepLeases();
  const { root, run } = home();
  const names = await readdir(run).catch(() => [] as string[]);
  const files = names.filter((name) => name.endsWith(LEASE)).map((name) => readFile(join(run, name), "utf8"));
  // One that ends in this moment is gone, and what it was for is in its place.
  const texts = await Promise.all(files.map((text) => text.catch(() => "")));
  const leased = texts.flatMap((text) => text.split("\n")).filter((path) => path !== "");
  return (path) => leased.some((each) => `${relative(root, path)}/`.startsWith(`${each}/`));
}

/** Removes what killed processes left of their leases. */
export async function sweepLeases(): Promise<void> {
  const { run } = home();
  const names = await readdir(run).catch(() => [] as string[]);
  for (const name of names.filter((each) => each.endsWith(LEASE) || each === STORE_LOCK)) {
    const lock = await tryAcquireLock(join(run, name));
    await lock?.[Symbol.asyncDispose]();
  }
}
