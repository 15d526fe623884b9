import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { home, isEntry } from "../store/index.js";
import { type Digest, digestOf, isDigest } from "./digest.js";

/** How deep indexes nest at most, as where they are read. */
const MOST_NESTED = 4;

/** A manifest, index or config in the store, as far as it can be read. */
export interface StoredDocument {
  path: string;
  /** By its name. */
  digest: Digest;
  /** Its content has this digest. */
  intact: boolean;
  /** Digests of what it leads to: an index to its manifests, a manifest to its config. */
  leadsTo: string[];
}

/** What a registry said that a tag means. */
export interface StoredTag {
  path: string;
  /** The reference in full, or `undefined` when it cannot be read. */
  reference: string | undefined;
  digest: string | undefined;
}

/** All documents that are kept of images in registries. */
export async function storedDocuments(): Promise<StoredDocument[]> {
  const found = await Promise.all((["sha256", "sha512"] as const).map(documentsOf));
  return found.flat();
}

/** Everything that is remembered of tags. */
export async function storedTags(): Promise<StoredTag[]> {
  const folder = join(home().blobs, "refs");
  const names = await readdir(folder).catch(() => [] as string[]);
  return Promise.all(
    names.filter(isEntry).map(async (name) => {
      const path = join(folder, name);
      const { reference, digest } = asRecord(await readFile(path).catch(() => undefined));
      return { path, reference: asText(reference), digest: asText(digest) };
    }),
  );
}

/**
 * The digests of those documents that one of `roots` leads to, and of the indexes that lead to one of `roots`.
 * @param roots digests of manifests and indexes that images refer to
 */
export function usedDocuments(documents: readonly StoredDocument[], roots: Iterable<string>): Set<string> {
  const known = new Map<string, StoredDocument>(documents.map((each) => [each.digest, each]));
  const used = new Set<string>(roots);
  for (let depth = 0; depth < MOST_NESTED; depth++) {
    for (const { digest, leadsTo } of documents) if (leadsTo.some((each) => used.has(each))) used.add(digest);
  }
  // Downwards from what was named alone: an index in use does not keep the manifests of other platforms.
  for (const root of roots) for (const each of known.get(root)?.leadsTo ?? []) used.add(each);
  return used;
}

async function documentsOf(algorithm: "sha256" | "sha512"): Promise<StoredDocument[]> {
  const folder = join(home().blobs, algorithm);
  const names = await readdir(folder).catch(() => [] as string[]);
  const found = names.map(async (name): Promise<StoredDocument | undefined> => {
    const digest = `${algorithm}:${name}`;
    const path = join(folder, name);
    const bytes = isDigest(digest) ? await readFile(path).catch(() => undefined) : undefined;
    if (!bytes || !isDigest(digest)) return undefined;
    return { path, digest, intact: digestOf(bytes, algorithm) === digest, leadsTo: linksOf(bytes) };
  });
  return (await Promise.all(found)).filter((each) => each !== undefined);
}

function linksOf(bytes: Buffer): string[] {
  const { manifests, config } = asRecord(bytes);
  const targets = Array.isArray(manifests) ? manifests : [config];
  return targets.map((target) => asText(target?.digest)).filter((digest) => digest !== undefined);
}

/** Damaged documents lead nowhere. */
function asRecord(bytes: Buffer | undefined): Record<string, unknown> & { config?: { digest?: unknown } } {
  try {
    const parsed: unknown = JSON.parse(String(bytes));
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}

function asText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
