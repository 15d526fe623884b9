import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { home, isEntry } from "../store/index.js";
import { type Digest, digestOf, isDigest, splitDigest } from "./digest.js";

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
  const found = await Promise.all(names.filter(isEntry).map((name) => readStoredTag(join(folder, name))));
  return found.filter((each) => each !== undefined);
}

/** What is remembered of one tag; `undefined` when it was forgotten. */
export async function readStoredTag(path: string): Promise<StoredTag | undefined> {
  const bytes = await readFile(path).catch(() => undefined);
  if (!bytes) return undefined;
  const { reference, digest } = asRecord(bytes);
  return { path, reference: asText(reference), digest: asText(digest) };
}

/** The document in a file, which is called after its digest; `undefined` when it is gone. */
export async function readStoredDocument(path: string, digest: Digest): Promise<StoredDocument | undefined> {
  const bytes = await readFile(path).catch(() => undefined);
  if (!bytes) return undefined;
  const { algorithm } = splitDigest(digest);
  return { path, digest, intact: digestOf(bytes, algorithm) === digest, leadsTo: linksOf(bytes) };
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
  const found = names.map((name) => {
    const digest = `${algorithm}:${name}`;
    return isDigest(digest) ? readStoredDocument(join(folder, name), digest) : undefined;
  });
  return (await Promise.all(found)).filter((each) => each !== undefined);
}

function linksOf(bytes: Buffer): string[] {
  const { manifests, config } = asRecord(bytes);
  const targets = Array.isArray(manifests) ? manifests : [config];
  return targets.map((target) => asText(target?.digest)).filter((digest) => digest !== undefined);
}

/** Damaged documents lead nowhere. */
function asRecord(bytes: Buffer): Record<string, unknown> & { config?: { digest?: unknown } } {
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
