import type { Readable } from "node:stream";
import { ImageError } from "../errors.js";
import { type ChosenManifest, chooseAny, chooseManifest, type LoadedManifest } from "./choose-manifest.js";
import type { Digest } from "./digest.js";
import type { Descriptor, ImageManifest } from "./documents.js";
import type { ImageConfig } from "./image-config.js";
import { type Compression, layerCompression } from "./media-types.js";
import { openSource, type SourceOptions } from "./open-source.js";
import { checkBlob, type ImageOrigin, type OnRetry, readDocument, verifiableDigest } from "./origin.js";
import { hostPlatform, type Platform } from "./platform.js";
import { formatImageSource, type ImageSource, parseImageSource } from "./source.js";

/** How many blobs are looked for at a time. */
const CHECKS_AT_ONCE = 16;

/** One layer of an image, as it is stored. */
export interface LayerDescriptor {
  /** Digest of the blob as {@link LayerDescriptor.open} streams it. */
  digest: Digest;
  /** Size of the blob in bytes. */
  size: number;
  mediaType: string;
  /** How the blob is packed, from its media type. */
  compression: Compression;
  /** Digest of the unpacked tar stream. */
  diffId: Digest;
  /** Streams the blob. The reader verifies `digest`, `size` and `diffId`: nothing has done so before. */
  open(signal?: AbortSignal, onRetry?: OnRetry): Promise<Readable>;
  /** The same from another place, where there is one that is to be asked when {@link LayerDescriptor.open} gave wrong bytes. */
  openAgain?: LayerDescriptor["open"];
}

/** An image that was found and whose documents were verified. Its layers can be read until it is disposed of. */
export interface ImageContent extends AsyncDisposable {
  /** The source in full, such as `oci-archive:python.tar` or `docker.io/library/alpine:3.20`. */
  reference: string;
  /** Layers that are read come over a network. */
  isRemote: boolean;
  manifestDigest: Digest;
  /** Docker's image id. */
  configDigest: Digest;
  config: ImageConfig;
  /** What the source has images for, this one among them. */
  platforms: Platform[];
  /** From the lowest to the topmost. May be empty. */
  layers: LayerDescriptor[];
}

/** A snapshot that was found. Of its documents only the manifest has been verified. */
export interface SnapshotContent extends AsyncDisposable {
  reference: string;
  /** It comes over a network. */
  isRemote: boolean;
  manifestDigest: Digest;
  manifest: ImageManifest;
  /** Reads and verifies the config. */
  readConfig(signal?: AbortSignal): Promise<Buffer>;
  /** Streams a blob that the manifest names. The reader verifies it. */
  open(descriptor: Descriptor, signal?: AbortSignal, onRetry?: OnRetry): Promise<Readable>;
}

/** Options of {@link openImage}. */
export interface OpenImageOptions extends SourceOptions {
  /** What to choose from an index, and what a single image must be built for; this machine's Linux by default. */
  platform?: Platform | undefined;
}

/**
 * Finds an image, verifies index, manifest and config by their digests, and checks that every layer's blob is there in
 * its full length, as far as that costs nothing: a registry is not asked about layers. No layer is read.
 * @throws ImageNotFoundError when the file, tag, platform's manifest or a blob is missing, RegistryAuthError,
 * RegistryUnreachableError, CacheMissError when it must not be pulled and is not here, else ImageError.
 */
export async function openImage(source: ImageSource | string, options: OpenImageOptions = {}): Promise<ImageContent> {
  return open(source, options, async (origin, reference, platform) =>
    describeImage(origin, reference, await chooseManifest(origin, platform, options.signal), options.signal),
  );
}

/** Like {@link openImage}, for what may be a snapshot instead of an image. */
export async function openImageOrSnapshot(
  source: ImageSource | string,
  options: OpenImageOptions = {},
): Promise<ImageContent | SnapshotContent> {
  return open(source, options, async (origin, reference, platform) => {
    const chosen = await chooseAny(origin, platform, options.signal);
    if (!("snapshot" in chosen)) return describeImage(origin, reference, chosen, options.signal);
    const { manifest, descriptor } = chosen;
    return {
      reference,
      isRemote: origin.isRemote ?? false,
      manifestDigest: verifiableDigest(descriptor, origin.name),
      manifest,
      readConfig: (signal) => readDocument(origin, manifest.config, "config", signal),
      open: (blob, signal, onRetry) => origin.open(blob, signal, onRetry),
      [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
    };
  });
}

/** Whether what was opened is a snapshot. */
export function isSnapshotContent(content: ImageContent | SnapshotContent): content is SnapshotContent {
  return "readConfig" in content;
}

async function open<T>(
  source: ImageSource | string,
  options: OpenImageOptions,
  describe: (origin: ImageOrigin, reference: string, platform: Platform) => Promise<T>,
): Promise<T> {
  const parsed = typeof source === "string" ? parseImageSource(source) : source;
  const origin = await openSource(parsed, options);
  try {
    return await describe(origin, formatImageSource(parsed), options.platform ?? hostPlatform());
  } catch (error) {
    await origin[Symbol.asyncDispose]();
    throw error;
  }
}

async function describeImage(
  origin: ImageOrigin,
  reference: string,
  chosen: ChosenManifest,
  signal: AbortSignal | undefined,
): Promise<ImageContent> {
  const layers = describeLayers(origin, chosen);
  await checkLayers(origin, chosen.manifest.layers, signal);
  return {
    reference,
    isRemote: origin.isRemote ?? false,
    manifestDigest: verifiableDigest(chosen.descriptor, origin.name),
    configDigest: verifiableDigest(chosen.manifest.config, origin.name),
    config: chosen.config,
    platforms: chosen.platforms,
    layers,
    [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
  };
}

function describeLayers(origin: ImageOrigin, { manifest, config }: LoadedManifest): LayerDescriptor[] {
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length) {
    const counts = `${manifest.layers.length} layers, its config ${diffIds.length} diff ids`;
    throw new ImageError(`${origin.name} is inconsistent: its manifest has ${counts}`);
  }
  return manifest.layers.map((layer, i) => {
    const compression = layerCompression(layer.mediaType);
    const diffId = diffIds[i];
    if (compression === undefined || diffId === undefined) {
      throw new ImageError(`${origin.name}: layer ${i} is of the unknown media type ${layer.mediaType}`);
    }
    const open = (signal?: AbortSignal, onRetry?: OnRetry) => origin.open(layer, signal, onRetry);
    const digest = verifiableDigest(layer, origin.name);
    const again = origin.openAgain?.bind(origin, layer);
    const openAgain = again === undefined ? {} : { openAgain: again };
    return { digest, size: layer.size, mediaType: layer.mediaType, compression, diffId, open, ...openAgain };
  });
}

/** Layers that occur more than once, as empty ones do, are looked for once. */
async function checkLayers(
  origin: ImageOrigin,
  layers: readonly Descriptor[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const distinct = [...new Map(layers.map((layer) => [`${layer.digest} ${layer.size}`, layer])).values()];
  for (let i = 0; i < distinct.length; i += CHECKS_AT_ONCE) {
    signal?.throwIfAborted();
    await Promise.all(distinct.slice(i, i + CHECKS_AT_ONCE).map((layer) => checkBlob(origin, layer, "layer")));
  }
}
