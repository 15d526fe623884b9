import { readdir } from "node:fs/promises";
import { CacheInvalidError } from "../../errors.js";
import { CAPTURE_FILES } from "../../machine/index.js";
import { formatReference, parseImageSource } from "../../oci/index.js";
import { METADATA_FILE } from "../metadata.js";

const KNOWN_FILES = new Set<string>([METADATA_FILE, ...Object.values(CAPTURE_FILES)]);

/** @throws CacheInvalidError when there is more in a snapshot's folder than is known here: it may be a part of its state */
export async function requireKnownFiles(folder: string, name: string): Promise<void> {
  const unknown = (await readdir(folder)).filter((file) => !KNOWN_FILES.has(file));
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
