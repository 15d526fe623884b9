import { rm } from "node:fs/promises";
import { basename } from "node:path";
import { listKeptByBuilds } from "../build/index.js";
import { lockStore, readLeases } from "../store/index.js";
import { diskBytes } from "./disk-usage.js";
import type { Pruned, PruneOptions, PruneResult } from "./prune.js";
import { type References, readReferences } from "./references.js";
import { takeAway } from "./take-away.js";
import type { Unused, UnusedKind } from "./unused.js";

/** What {@link pruneBuildCache} may remove. */
export interface PruneBuildCacheOptions extends Pick<PruneOptions, "dryRun" | "signal"> {
  /** Only what no build has used for so many milliseconds. */
  olderThanMs?: number | undefined;
  /** Only until what is left takes no more than so many bytes; what was used last stays. */
  keepStorageBytes?: number | undefined;
}

/** What goes together: the steps that have made one layer, with it; a cache of a mount; or what was fetched, with what is known of it. */
interface Group {
  members: Unused[];
  /** Small files that go when all of the members have gone. */
  notes: string[];
  /** What removing it frees. */
  bytes: number;
  lastUsedMs: number;
}

/**
 * Removes what builds keep for later ones, what was used longest ago first: results of steps, with their layers where no snapshot has them,
 * caches of `RUN --mount=type=cache`, and files that ADD has fetched. What a build in this or another process is using stays, and so do all images.
 */
export async function pruneBuildCache(options: PruneBuildCacheOptions = {}): Promise<PruneResult> {
  const { dryRun = false, olderThanMs = Number.NEGATIVE_INFINITY, keepStorageBytes, signal } = options;
  const removed: Pruned[] = [];
  const trash: string[] = [];
  {
    await using _store = await lockStore(signal);
    const isLeased = await readLeases();
    const groups = await groupsOf(await readReferences(), isLeased);
    let total = groups.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { members, notes, bytes, lastUsedMs } of groups.toSorted((a, b) => a.lastUsedMs - b.lastUsedMs)) {
      signal?.throwIfAborted();
      if (Date.now() - lastUsedMs < olderThanMs) continue;
      if (keepStorageBytes !== undefined && (total <= keepStorageBytes || bytes === 0)) continue;
      const gone: Pruned[] = [];
      for (const member of members) gone.push(...(await removeOne(member, dryRun, trash)));
      if (!dryRun && gone.length === members.length) for (const note of notes) await rm(note, { force: true });
      removed.push(...gone);
      total -= bytes;
    }
  }
  for (const path of trash) await rm(path, { recursive: true, force: true });
  return { removed, freedBytes: removed.reduce((sum, { bytes }) => sum + bytes, 0), dryRun };
}

/** What was removed; nothing when somebody is at it just now. */
async function removeOne(member: Unused, dryRun: boolean, trash: string[]): Promise<Pruned[]> {
  const bytes = await diskBytes(member.path);
  if (dryRun) return [{ ...member, bytes }];
  if (!(await takeAway(member, trash))) return [];
  return [{ ...member, bytes }];
}

async function groupsOf(references: References, isLeased: (path: string) => boolean): Promise<Group[]> {
  const groups = new Map<string, Group>();
  for (const { kind, path, notes, layer, lastUsedMs } of await listKeptByBuilds()) {
    if (isLeased(path) || (layer !== undefined && isLeased(layer))) continue;
    const own: Unused = { kind, path, item: itemOf(path) };
    const group = groups.get(layer ?? path) ?? (await groupOf(kind === "step" ? layer : path, kind, references));
    // A step goes before its layer.
    if (kind === "step") group.members.unshift(own);
    group.notes.push(...notes);
    group.lastUsedMs = Math.max(group.lastUsedMs, lastUsedMs);
    groups.set(layer ?? path, group);
  }
  return [...groups.values()];
}

/** @param file a layer, a cache of a mount or what was fetched; small files of steps do not count */
async function groupOf(file: string | undefined, kind: UnusedKind, { hasLayer }: References): Promise<Group> {
  if (file === undefined || (await hasLayer(file))) return { members: [], notes: [], bytes: 0, lastUsedMs: 0 };
  const item = itemOf(file).replace(/^(sha256|sha512)-/, "$1:");
  const own: Unused = { kind: kind === "step" ? "layer" : kind, path: file, item };
  return { members: [own], notes: [], bytes: await diskBytes(file), lastUsedMs: 0 };
}

function itemOf(path: string): string {
  return basename(path).replace(/\..*$/, "");
}
