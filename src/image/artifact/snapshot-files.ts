import { readdir } from "node:fs/promises";
import { CacheInvalidError } from "../../errors.js";
import { formatReference, parseImageSource } from "../../oci/index.js";
import { METADATA_FILE, type SnapshotMetadata } from "../metadata.js";
import { snapshotFiles } from "../root-disk-file.js";

/** @throws CacheInvalidError when there is more in a snapshot's folder than is known here: it may be a part of its state */
export async function requireKnownFiles(folder: string, metadata: SnapshotMetadata): Promise<void> {
  const { name } = metadata;
  const known = new Set([METADATA_FILE, ...snapshotFiles(metadata)]);
  const unknown = (await readdir(folder)).filter((file) => !known.has(file));
  if (unknown.length === 0) return;
  throw new CacheInvalidError(`the snapshot ${name} has files that cannot go with it: ${unknown.join(", ")}`);
}

/** What a snapshot was baked from, where that is a name in a registry: names of files on this host are nobody's business. */
export function publicReference(reference: string): string | undefined {
  try {
    const source = parseImageSource(reference);
    return source.kind === "registry" ? formatReference(source.reference) : undefined;
  } catch {
    return undefined;
  }
}
