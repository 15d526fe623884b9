import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { UsageError } from "../../errors.js";
import {
  copyImage,
  openLayoutTarget,
  openSource,
  openTarget,
  parseReference,
  type RegistryAuth,
} from "../../oci/index.js";
import type { LongWork } from "../../progress.js";
import type { StoredLayer } from "../../rootfs/index.js";
import { acquireLock, explainingNoSpace, replace } from "../../store/index.js";
import { layersOrigin, measured, type OutgoingLayer } from "../output/index.js";
import { CACHE_CONFIG, formatSharedSteps, type SharedStep } from "./format.js";
import { readSteps } from "./imported-cache.js";
import type { CacheTarget } from "./place.js";

const NAMES = [{ tag: "latest" }];

/** Steps with their layers, by their keys. */
export type StepRecords = ReadonlyMap<string, { layer: StoredLayer | undefined; createdAt: string }>;

/** Makes sure that what would be replaced is a cache, before anything is built. @throws UsageError */
export async function checkCacheTarget(target: CacheTarget): Promise<void> {
  if (target.type === "registry") return;
  const path = resolve(target.dest);
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new UsageError(`--cache-to ${path}: it cannot be read: ${error.code}`, { cause: error });
  });
  if (names.length === 0) return;
  try {
    await using origin = await openSource({ kind: "oci-layout", path });
    await readSteps(origin);
  } catch (cause) {
    throw new UsageError(`--cache-to ${path}: the folder is there, and is no build cache`, {
      cause,
      hint: "Name a new folder, or remove it.",
    });
  }
}

/**
 * Writes a cache to a folder, which is replaced when all is there, or to a registry, where its name is given last.
 * @throws UsageError, NoSpaceError, ImageError, RegistryAuthError, RegistryUnreachableError
 */
export async function exportCache(
  records: StepRecords,
  target: CacheTarget,
  { registryAuth, ...work }: LongWork & { registryAuth?: RegistryAuth | undefined },
): Promise<void> {
  await using origin = await cacheOrigin(records, work.signal);
  if (target.type === "registry") {
    await using place = await openTarget(parseReference(target.ref), { registryAuth });
    await copyImage(origin, place, { ...work, phase: "push" });
    return;
  }
  const path = resolve(target.dest);
  await using _lock = await acquireLock(`${path}.lock`, work.signal);
  await checkCacheTarget(target);
  await explainingNoSpace(path, () =>
    replace(path, async (partial) => {
      await using place = await openLayoutTarget(partial, NAMES);
      await copyImage(origin, place, { ...work, phase: "save" });
    }),
  );
}

/** A layer that came in another form than ours has another digest than its archive has here, and stays. */
async function cacheOrigin(records: StepRecords, signal: AbortSignal | undefined) {
  const distinct = new Map<string, StoredLayer>();
  for (const { layer } of records.values()) if (layer) distinct.set(layer.diffId, layer);
  const layers: OutgoingLayer[] = [];
  for (const layer of distinct.values()) {
    const outgoing = await measured(layer, undefined, signal);
    if (outgoing.digest === layer.diffId) layers.push(outgoing);
  }
  const sent = new Set<string>(layers.map(({ digest }) => digest));
  const steps = [...records].flatMap(([key, { layer, createdAt }]): SharedStep[] => {
    if (layer !== undefined && !sent.has(layer.diffId)) return [];
    return [{ key, layer: (layer?.diffId ?? null) as SharedStep["layer"], createdAt }];
  });
  return layersOrigin(
    "the build cache",
    { mediaType: CACHE_CONFIG, bytes: formatSharedSteps(steps) },
    layers,
    undefined,
  );
}
