import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { SnapshotContent } from "../../oci/index.js";
import type { LongWork } from "../../progress.js";
import { LayerStore, type StoredLayer } from "../../rootfs/index.js";
import { home } from "../../store/index.js";
import { together } from "../../together.js";
import type { Artifact, ArtifactBlob } from "./format.js";
import { unpackBlob } from "./unpack-blob.js";

const AT_ONCE = 3;

/** Makes sure that a snapshot's layers are in the store, and gives them in their order. Those that are here are not fetched. */
export async function fetchLayers(
  content: SnapshotContent,
  { config, layers }: Artifact,
  work: LongWork,
): Promise<StoredLayer[]> {
  const store = new LayerStore(home().layers);
  const found = new Map<string, StoredLayer>();
  const queue = [
    ...new Map(layers.map((blob, i) => [blob.content.digest, { blob, diffId: config.layers[i]?.diffId }])),
  ];
  const fetchAll = async (signal: AbortSignal): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [digest, { blob, diffId = digest }] = next;
      found.set(digest, await fetchLayer(store, content, { blob, diffId }, { ...work, signal }));
    }
  };
  await together(work.signal, Array(AT_ONCE).fill(fetchAll));
  return config.layers.flatMap(({ content: digest, diffId }) => {
    const layer = found.get(digest);
    return layer === undefined ? [] : [{ ...layer, diffId }];
  });
}

async function fetchLayer(
  store: LayerStore,
  content: SnapshotContent,
  { blob, diffId }: { blob: ArtifactBlob; diffId: string },
  work: LongWork,
): Promise<StoredLayer> {
  const own = await store.find(diffId);
  if (own !== undefined && (await isSame(own.path, own.size, blob, work.signal))) return own;
  const { digest } = blob.content;
  return store.ensureImage({ diffId, digest }, (partial) => unpackBlob(content, blob, partial, work), work.signal);
}

/** Whether a file is what the blob unpacks to. */
export async function isSame(
  path: string,
  size: number,
  { content }: ArtifactBlob,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (size !== content.size) return false;
  const [algorithm = "sha256", hex] = content.digest.split(":");
  const hash = createHash(algorithm);
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, signal === undefined ? {} : { signal });
  return hash.digest("hex") === hex;
}
