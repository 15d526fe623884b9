import { ImageError } from "../errors.js";
import { type DocumentReader, documentReader } from "./document-reader.js";
import { type Descriptor, type ImageManifest, isSnapshot, parseIndex, parseManifest } from "./documents.js";
import { type ImageConfig, parseImageConfig } from "./image-config.js";
import { isConfig, isIndex, isManifest, SNAPSHOT_ARTIFACT, SNAPSHOT_PLATFORM } from "./media-types.js";
import type { ImageOrigin } from "./origin.js";
import {
  formatPlatform,
  isAttestation,
  isFor,
  listPlatforms,
  type Platform,
  runnablePlatforms,
  suitability,
} from "./platform.js";

export const MAX_INDEX_DEPTH = 4;

/** A manifest with its config, both verified. */
export interface LoadedManifest {
  descriptor: Descriptor;
  manifest: ImageManifest;
  config: ImageConfig;
}

/** The manifest for a platform, and for which ones there are others. */
export interface ChosenManifest extends LoadedManifest {
  platforms: Platform[];
}

interface Leaf {
  descriptor: Descriptor;
  /** Which of the origin's roots it is of. */
  root: number;
}

/** A snapshot's manifest. What its config says is not looked at here. */
export interface ChosenSnapshot {
  descriptor: Descriptor;
  manifest: ImageManifest;
  snapshot: true;
}

/** Follows the origin's roots through indexes to the manifest for `wanted`, and loads it. */
export async function chooseManifest(
  origin: ImageOrigin,
  wanted: Platform,
  signal?: AbortSignal,
): Promise<ChosenManifest> {
  const chosen = await chooseAny(origin, wanted, signal);
  if (!("snapshot" in chosen)) return chosen;
  throw new ImageError(`${origin.name} is a snapshot, not an image`, {
    hint: "`supermachine pull` and `supermachine run` take it.",
  });
}

/** Like {@link chooseManifest}, but what is chosen may be a snapshot. */
export async function chooseAny(
  origin: ImageOrigin,
  wanted: Platform,
  signal?: AbortSignal,
): Promise<ChosenManifest | ChosenSnapshot> {
  const reader = documentReader(origin, signal);
  const chosen = await chooseDescriptor(origin, wanted, reader);
  const { descriptor } = chosen;
  const manifest = parseManifest(await reader(descriptor, "manifest"), describe(descriptor, origin));
  if (isSnapshot(manifest)) return { descriptor, manifest, snapshot: true };
  const loaded = await load(descriptor, origin, reader);
  const { os, architecture, variant } = loaded.config;
  const own = [{ os, architecture, variant }];
  if (!isFor(wanted, loaded.config)) throw wrongPlatform(origin, own, wanted);
  return { ...loaded, platforms: chosen.platforms ?? own };
}

/**
 * Follows the origin's roots to the manifest for `wanted`. A manifest that is the only one is given whatever it is for, without
 * a look into it.
 */
export async function chooseDescriptor(
  origin: ImageOrigin,
  wanted: Platform,
  reader: DocumentReader,
): Promise<{ descriptor: Descriptor; platforms: Platform[] | undefined }> {
  const leaves: Leaf[] = [];
  const seen = new Set<string>();
  for (const [root, descriptor] of origin.roots.entries()) {
    for (const leaf of await leavesOf(descriptor, { depth: 0, seen }, origin, reader)) {
      leaves.push({ descriptor: leaf, root });
    }
  }
  const [only] = leaves;
  if (only === undefined) throw new ImageError(`${origin.name} names no image: ${describeTypes(origin.roots)}`);
  const isAlone = leaves.every(({ descriptor }) => descriptor.digest === only.descriptor.digest);
  return isAlone ? { descriptor: only.descriptor, platforms: undefined } : pick(leaves, wanted, origin, reader);
}

/** The manifests below a descriptor. An index that was seen before adds none. */
async function leavesOf(
  descriptor: Descriptor,
  { depth, seen }: { depth: number; seen: Set<string> },
  origin: ImageOrigin,
  read: DocumentReader,
): Promise<Descriptor[]> {
  if (isManifest(descriptor.mediaType)) return [descriptor];
  if (!isIndex(descriptor.mediaType) || seen.has(descriptor.digest)) return [];
  seen.add(descriptor.digest);
  if (depth >= MAX_INDEX_DEPTH) {
    throw new ImageError(`${origin.name}: indexes are nested more than ${MAX_INDEX_DEPTH} deep`);
  }
  const what = `index ${descriptor.digest} in ${origin.name}`;
  const index = parseIndex(await read(descriptor, "index"), what);
  const leaves: Descriptor[] = [];
  for (const entry of index.manifests) {
    if (!isAttestation(entry)) leaves.push(...(await leavesOf(entry, { depth: depth + 1, seen }, origin, read)));
  }
  return leaves;
}

async function pick(
  leaves: readonly Leaf[],
  wanted: Platform,
  origin: ImageOrigin,
  read: DocumentReader,
): Promise<{ descriptor: Descriptor; platforms: Platform[] }> {
  const offers: { leaf: Leaf; platform: Platform; rank: number }[] = [];
  const platforms: Platform[] = [];
  for (const leaf of leaves) {
    const platform = await platformOf(leaf.descriptor, origin, read);
    if (platform === undefined) continue;
    platforms.push(platform);
    const rank = suitability(platform, wanted);
    // Beside an image its snapshot is preferred: it holds the same, and need not be baked.
    const preference = leaf.descriptor.artifactType === SNAPSHOT_ARTIFACT ? 0.5 : 0;
    if (rank !== undefined) offers.push({ leaf, platform, rank: rank + preference });
  }
  const [best, ...rest] = offers.toSorted((a, b) => b.rank - a.rank);
  if (best === undefined) throw wrongPlatform(origin, platforms, wanted);
  const rival = rest.find(({ leaf, rank }) => rank === best.rank && leaf.root !== best.leaf.root);
  if (rival !== undefined && rival.leaf.descriptor.digest !== best.leaf.descriptor.digest) {
    const digests = [best, rival].map(({ leaf }) => `@${leaf.descriptor.digest}`).join(" or ");
    throw new ImageError(`${origin.name} holds several images for ${formatPlatform(wanted)}`, {
      hint: `Write ${digests}.`,
    });
  }
  return { descriptor: best.leaf.descriptor, platforms };
}

/** An entry without a platform is asked for its config; one that has no image config is not an image. */
async function platformOf(
  descriptor: Descriptor,
  origin: ImageOrigin,
  read: DocumentReader,
): Promise<Platform | undefined> {
  const { platform } = descriptor;
  if (platform) return { os: platform.os, architecture: platform.architecture, variant: platform.variant ?? undefined };
  const manifest = parseManifest(await read(descriptor, "manifest"), describe(descriptor, origin));
  if (isSnapshot(manifest)) return snapshotPlatform(manifest);
  return isConfig(manifest.config.mediaType) ? (await load(descriptor, origin, read)).config : undefined;
}

function snapshotPlatform({ annotations }: ImageManifest): Platform | undefined {
  const [os, architecture, variant] = (annotations?.[SNAPSHOT_PLATFORM] ?? "").split("/");
  return os && architecture ? { os, architecture, ...(variant && { variant }) } : undefined;
}

async function load(descriptor: Descriptor, origin: ImageOrigin, read: DocumentReader): Promise<LoadedManifest> {
  const what = describe(descriptor, origin);
  const manifest = parseManifest(await read(descriptor, "manifest"), what);
  if (manifest.mediaType && manifest.mediaType !== descriptor.mediaType) {
    throw new ImageError(
      `${what} says of itself that it is ${manifest.mediaType}, its index says ${descriptor.mediaType}`,
    );
  }
  if (!isConfig(manifest.config.mediaType)) {
    throw new ImageError(`${what} is not an image: its config is of the media type ${manifest.config.mediaType}`);
  }
  const config = parseImageConfig(
    await read(manifest.config, "config"),
    `config ${manifest.config.digest} in ${origin.name}`,
  );
  return { descriptor, manifest, config };
}

function describe(descriptor: Descriptor, origin: ImageOrigin): string {
  return `manifest ${descriptor.digest} in ${origin.name}`;
}

function wrongPlatform(origin: ImageOrigin, offered: readonly Platform[], wanted: Platform): ImageError {
  return new ImageError(`${origin.name} is for ${listPlatforms(offered)}, not for ${formatPlatform(wanted)}`, {
    hint: `This machine runs images for ${listPlatforms(runnablePlatforms())}.`,
  });
}

function describeTypes(roots: readonly Descriptor[]): string {
  const types = [...new Set(roots.map(({ mediaType }) => mediaType))].slice(0, 5).join(", ");
  return `no manifest that can be read here; media type ${types || "unknown"}`;
}
