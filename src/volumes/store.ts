import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.js";
import type { LongWork } from "../progress.js";
import { acquireLock, home, isEntry, produceOnce } from "../store/index.js";
import { growImage, type ImageFacts, makeImage, readImage } from "./image-file.js";
import { lockImage } from "./lock.js";
import { checkSize, checkVolumeName } from "./options.js";

const SUFFIX = ".img";
export const DEFAULT_SIZE_MIB = 1024;

/** A volume of the store. */
export interface VolumeSummary extends ImageFacts {
  name: string;
  /** The image file. */
  path: string;
  createdAt: string;
}

export function volumePath(name: string): string {
  return join(home().volumes, checkVolumeName(name) + SUFFIX);
}

/** All volumes of the store, by name. */
export async function listVolumes(): Promise<VolumeSummary[]> {
  const names = await readdir(home().volumes).catch(() => [] as string[]);
  const volumes = names.filter((name) => isEntry(name) && name.endsWith(SUFFIX));
  const found = await Promise.all(
    volumes.map((name) => summarize(name.slice(0, -SUFFIX.length)).catch(() => undefined)),
  );
  return found.filter((each) => each !== undefined).sort((a, b) => a.name.localeCompare(b.name));
}

/** @throws UsageError when there is none of that name */
export async function inspectVolume(name: string): Promise<VolumeSummary> {
  return summarize(name);
}

/** Makes an empty volume. @throws UsageError when there is one of that name, AssetsError */
export async function createVolume(
  name: string,
  options: { sizeMiB?: number } & LongWork = {},
): Promise<VolumeSummary> {
  const path = volumePath(name);
  if (await exists(path)) throw new UsageError(`there is a volume ${name} already`);
  await ensureImage(path, options.sizeMiB, options);
  return summarize(name);
}

/** Removes a volume with its content for good. @throws UsageError when there is none, or when it is in use */
export async function removeVolume(name: string): Promise<void> {
  const path = volumePath(name);
  await using _lock = await acquireLock(`${path}.lock`);
  await requireVolume(name, path);
  using _unused = lockImage(path, "write", name);
  await rm(path);
}

/** Makes the file unless it is there. */
export async function ensureImage(path: string, sizeMiB: number | undefined, work: LongWork): Promise<void> {
  const size = checkSize(sizeMiB ?? DEFAULT_SIZE_MIB);
  await produceOnce(path, {
    find: async () => ((await exists(path)) ? true : undefined),
    make: (partial) => makeImage(partial, size, work),
    ...(work.signal && { signal: work.signal }),
  });
}

/** The right to write to the file has been taken. */
export async function growIfAsked(path: string, sizeMiB: number | undefined): Promise<void> {
  if (sizeMiB !== undefined) await growImage(path, sizeMiB);
}

async function summarize(name: string): Promise<VolumeSummary> {
  const path = volumePath(name);
  await requireVolume(name, path);
  const [facts, { birthtime }] = await Promise.all([readImage(path), stat(path)]);
  return { name, ...facts, createdAt: birthtime.toISOString(), path };
}

async function requireVolume(name: string, path: string): Promise<void> {
  if (await exists(path)) return;
  throw new UsageError(`there is no volume ${name}`, { hint: "`supermachine volume ls` lists them." });
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
