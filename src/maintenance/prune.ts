import { rm, stat } from "node:fs/promises";
import { listRoots, lockStore, readLeases, sweepHalfMade } from "../store/index.js";
import { diskBytes } from "./disk-usage.js";
import { takeAway } from "./take-away.js";
import { findUnused, type Unused } from "./unused.js";

/** What {@link prune} may remove. */
export interface PruneOptions {
  /** Removes nothing, and says what would be removed. */
  dryRun?: boolean | undefined;
  /** Only what is older than so many milliseconds. */
  olderThanMs?: number | undefined;
  /** The templates too that the next bake would use; booting one takes a few seconds. */
  all?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Something that {@link prune} removed. */
export interface Pruned extends Unused {
  /** What it took on disk. */
  bytes: number;
}

/** What {@link prune} did. */
export interface PruneResult {
  removed: Pruned[];
  /** What that makes on disk. A file that a running VM has open is freed when the VM ends. */
  freedBytes: number;
  dryRun: boolean;
}

/**
 * Removes what nothing refers to: layers and templates of no snapshot, documents and tags of no image, kernels and agents
 * that were replaced, and what killed processes left. No snapshot is removed, nor anything that a bake or pull in this or
 * another process is about to use. VMs that run are not disturbed: what they have open stays until they end.
 */
export async function prune(options: PruneOptions = {}): Promise<PruneResult> {
  const { dryRun = false } = options;
  const removed: Pruned[] = [];
  const trash: string[] = [];
  if (!dryRun) await sweepHalfMade();
  {
    await using _store = await lockStore(options.signal);
    const isLeased = await readLeases();
    await listRoots(!dryRun);
    for (const unused of await findUnused(options.all ?? false)) {
      options.signal?.throwIfAborted();
      if (isLeased(unused.path) || !(await isOldEnough(unused.path, options.olderThanMs))) continue;
      const bytes = await diskBytes(unused.path);
      if (!dryRun && !(await takeAway(unused, trash))) continue;
      removed.push({ ...unused, bytes });
    }
  }
  // A large file takes a while, and nobody has to wait for it.
  for (const path of trash) await rm(path, { recursive: true, force: true });
  const freedBytes = removed.reduce((sum, { bytes }) => sum + bytes, 0);
  return { removed, freedBytes, dryRun };
}

async function isOldEnough(path: string, olderThanMs: number | undefined): Promise<boolean> {
  if (olderThanMs === undefined) return true;
  const facts = await stat(path).catch(() => undefined);
  return facts !== undefined && Date.now() - facts.mtimeMs > olderThanMs;
}
