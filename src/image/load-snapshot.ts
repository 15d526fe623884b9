import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CacheInvalidError, CacheMissError } from "../errors.js";
import { CAPTURE_FILES, type GuestState, type RestoreSource, type Runtime } from "../machine/index.js";
import { readDelta } from "../memory/index.js";
import { isWholeDeviceState } from "./bake.js";
import type { SnapshotMetadata } from "./metadata.js";
import { requireTemplate } from "./required-template.js";
import { loadRootDisk } from "./root-disk-file.js";

const HINT = "Bake the image anew: run it once more.";

/**
 * Finds what a machine is restored from, and begins to read it.
 * @throws CacheMissError, CacheInvalidError when a part of it is missing; its state is rejected with these where it cannot be read
 */
export async function loadSnapshot(
  runtime: Runtime,
  folder: string,
  metadata: SnapshotMetadata,
): Promise<RestoreSource & { state: Promise<GuestState> }> {
  const template = await requireTemplate(runtime, metadata, folder);
  await requireLayers(metadata);
  const rootDisk = await loadRootDisk(folder, metadata);
  return { template, disks: metadata.layers, rootDisk, state: loadState(folder, metadata) };
}

async function loadState(folder: string, metadata: SnapshotMetadata): Promise<GuestState> {
  const statePath = join(folder, CAPTURE_FILES.deviceState);
  const deltaPath = join(folder, CAPTURE_FILES.delta);
  for (const path of [statePath, deltaPath]) await requireFile(path, "snapshot's");
  const [deviceState, delta] = await Promise.all([readFile(statePath), readDelta(deltaPath)]).catch(removedMeanwhile);
  if (!isWholeDeviceState(deviceState, metadata)) {
    throw new CacheInvalidError(`the device state ${statePath} is truncated or corrupt`, {
      hint: "Remove the snapshot (`supermachine rmi`); the next run bakes it anew.",
    });
  }
  return { delta, deviceState };
}

/** @throws CacheMissError for the first layer whose file is not there */
export async function requireLayers({ layers }: SnapshotMetadata): Promise<void> {
  for (const { path } of layers) await requireFile(path, "layer");
}

/** Another process may remove the snapshot between our look at its files and reading them. */
function removedMeanwhile(cause: NodeJS.ErrnoException): never {
  if (cause.code !== "ENOENT") throw cause;
  throw new CacheMissError(`${cause.path} was removed just now`, { cause, hint: HINT });
}

async function requireFile(path: string, what: string): Promise<void> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (!isThere) throw new CacheMissError(`the ${what} file ${path} is missing`, { hint: HINT });
}
