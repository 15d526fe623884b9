import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { ImageNotFoundError } from "../../errors.js";
import {
  type Descriptor,
  type Digest,
  digestOf,
  type ImageOrigin,
  layerMediaType,
  OCI_CONFIG,
  OCI_MANIFEST,
} from "../../oci/index.js";
import { layerArchive, type StoredLayer } from "../../rootfs/index.js";
import { type ImageState, imageDocument } from "../image-state.js";
import { requireIntact } from "./intact.js";

/** A layer as an archive that is made when it is read. */
export interface OutgoingLayer {
  path: string;
  digest: Digest;
  size: number;
}

/**
 * A built image with its documents, as something that can be copied. Layers are not packed: their bytes are made of the stored ones when they
 * are read, always the same ones. A layer that was pulled in another form than ours gets a digest of its own.
 * @param latest seconds since 1970: nothing in it says that it is newer
 */
export async function builtImageOrigin(
  name: string,
  state: ImageState,
  latest: number | undefined,
  signal: AbortSignal | undefined,
): Promise<ImageOrigin & { id: Digest }> {
  const layers: OutgoingLayer[] = [];
  for (const layer of state.layers) layers.push(await measured(layer, latest, signal));
  const { document } = imageDocument(withTimes(withDiffIds(state, layers), latest));
  const bytes = Buffer.from(JSON.stringify(document));
  return { id: digestOf(bytes), ...layersOrigin(name, { mediaType: OCI_CONFIG, bytes }, layers, latest) };
}

/** Layers with a config of any kind, as something that can be copied. @param latest as for {@link measured} */
export function layersOrigin(
  name: string,
  config: { mediaType: string; bytes: Buffer },
  layers: readonly OutgoingLayer[],
  latest: number | undefined,
): ImageOrigin {
  const manifest = Buffer.from(JSON.stringify(manifestOf(config, layers)));
  const documents = new Map([config.bytes, manifest].map((bytes) => [digestOf(bytes) as string, bytes]));
  const paths = new Map(layers.map((layer) => [layer.digest as string, layer]));
  return {
    name,
    roots: [{ mediaType: OCI_MANIFEST, digest: digestOf(manifest), size: manifest.length }],
    size: async ({ digest }) => documents.get(digest)?.length ?? paths.get(digest)?.size,
    async open({ digest }) {
      const document = documents.get(digest);
      if (document !== undefined) return Readable.from([document]);
      const layer = paths.get(digest);
      if (layer === undefined) throw new ImageNotFoundError(`${name} has no blob ${digest}`);
      return Readable.from(layerArchive(layer.path, latest));
    },
    async [Symbol.asyncDispose]() {},
  };
}

/**
 * A layer with the digest of its archive.
 * @param latest seconds since 1970: no file in it says that it is newer
 * @throws CacheInvalidError when its file is damaged
 */
export async function measured(
  layer: StoredLayer,
  latest: number | undefined,
  signal: AbortSignal | undefined,
): Promise<OutgoingLayer> {
  await requireIntact(layer, signal);
  const { path } = layer;
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of layerArchive(path, latest)) {
    signal?.throwIfAborted();
    hash.update(chunk);
    size += chunk.length;
  }
  return { path, digest: `sha256:${hash.digest("hex")}`, size };
}

function withDiffIds(state: ImageState, layers: readonly OutgoingLayer[]): ImageState {
  const named = state.layers.map((layer, i) => ({ ...layer, diffId: layers[i]?.digest ?? layer.diffId }));
  return { ...state, layers: named };
}

function withTimes(state: ImageState, latest: number | undefined): ImageState {
  if (latest === undefined) return state;
  const limit = new Date(latest * 1000).toISOString();
  const history = state.history.map((line) => ({ ...line, created: atMost(line.created ?? limit, limit) }));
  return { ...state, history, createdAt: atMost(state.createdAt, limit) };
}

function atMost(time: string, limit: string): string {
  return Date.parse(time) < Date.parse(limit) ? time : limit;
}

function manifestOf(config: { mediaType: string; bytes: Buffer }, layers: readonly OutgoingLayer[]) {
  const mediaType = layerMediaType("none");
  const described: Descriptor = {
    mediaType: config.mediaType,
    digest: digestOf(config.bytes),
    size: config.bytes.length,
  };
  return {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: described,
    layers: layers.map(({ digest, size }) => ({ mediaType, digest, size })),
  };
}
