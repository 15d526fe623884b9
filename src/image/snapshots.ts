import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ImageNotFoundError } from "../errors.js";
import { acquireLock, home, isEntry } from "../store/index.js";
import { METADATA_FILE, readMetadata } from "./metadata.js";
import { namedFolder } from "./name.js";
import { snapshotFiles } from "./root-disk-file.js";

/** A snapshot in the store. */
export interface SnapshotSummary {
  name: string;
  reference: string;
  /** Of the manifest that it was baked from. */
  digest: string;
  createdAt: string;
  memoryMiB: number;
  vcpus: number;
  accelerator: string;
  /** Bytes of memory delta, device state and disk; what the layers take is shared and not counted. */
  bytes: number;
  path: string;
}

/** All snapshots, by name. Damaged ones are left out: they are baked anew when they are asked for. */
export async function listImages(folder = home().snapshots): Promise<SnapshotSummary[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const summaries = names.filter(isEntry).map((name) => summarize(join(folder, name)).catch(() => undefined));
  const found = (await Promise.all(summaries)).filter((each) => each !== undefined);
  return found.sort((a, b) => a.name.localeCompare(b.name));
}

/** Removes a snapshot by its name. VMs that run from it are not disturbed. @throws ImageNotFoundError */
export async function removeImage(name: string, folder = home().snapshots): Promise<void> {
  const path = namedFolder(name, folder);
  await using _lock = await acquireLock(`${path}.lock`);
  // The metadata goes first: without it a half-removed folder is no snapshot any more.
  await rm(join(path, METADATA_FILE)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== "ENOENT" && cause.code !== "ENOTDIR") throw cause;
    throw new ImageNotFoundError(`there is no snapshot ${name}`, { cause, hint: "`supermachine images` lists them." });
  });
  await rm(path, { recursive: true, force: true });
}

async function summarize(path: string): Promise<SnapshotSummary> {
  const metadata = await readMetadata(path);
  const { name, reference, manifestDigest: digest, createdAt, template } = metadata;
  const files = await Promise.all(snapshotFiles(metadata).map((file) => stat(join(path, file))));
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const { memoryMiB, vcpus, accelerator } = template;
  return { name, reference, digest, createdAt, memoryMiB, vcpus, accelerator, bytes, path };
}
