import { BakeError } from "../errors.js";
import type { ImageContent, LayerDescriptor } from "../oci/index.js";
import type { LongWork } from "../progress.js";
import { LayerStore, type StoredLayer } from "../rootfs/index.js";
import { home } from "../store/index.js";
import { together } from "../together.js";

/** Conversion is bound by the processor; more at once only help where a source is slow. */
const AT_ONCE = 2;
/** Each layer with content is a disk and a lower folder of the overlay; docker stops at 127. */
const MOST_LAYERS = 250;

/**
 * Makes sure that every layer of an image is in the store, converting those that are not.
 * @returns the layers that have content, from the lowest to the highest
 */
export async function ensureLayers(content: ImageContent, work: LongWork): Promise<StoredLayer[]> {
  const store = new LayerStore(home().layers);
  // The same layer may occur many times, empty ones above all.
  const distinct = new Map(content.layers.map((layer) => [layer.diffId as string, layer]));
  const stored = new Map<string, StoredLayer>();
  const queue = [...distinct.values()];
  const convertAll = async (signal: AbortSignal): Promise<void> => {
    for (let layer = queue.shift(); layer; layer = queue.shift()) {
      stored.set(layer.diffId, await ensureLayer(store, layer, { ...work, signal }));
    }
  };
  await together(work.signal, Array(AT_ONCE).fill(convertAll));
  const layers = content.layers.map((layer) => stored.get(layer.diffId)).filter((layer) => layer !== undefined);
  const filled = layers.filter((layer) => !layer.empty);
  if (filled.length > MOST_LAYERS) {
    throw new BakeError(`${content.reference} has ${filled.length} layers with content; at most ${MOST_LAYERS} work`, {
      hint: "Squash the image, for instance with `buildah commit --squash`.",
    });
  }
  return filled;
}

function ensureLayer(store: LayerStore, layer: LayerDescriptor, work: LongWork): Promise<StoredLayer> {
  const item = layer.digest;
  const report = (done: number) => work.onProgress?.({ phase: "layer", item, done, total: layer.size });
  return store
    .ensure({ ...layer, blobDigest: layer.digest }, () => layer.open(work.signal), {
      onProgress: report,
      ...(work.signal && { signal: work.signal }),
    })
    .then((stored) => {
      if (stored.converted) {
        work.onProgress?.({ phase: "layer", item, done: layer.size, total: layer.size, finished: true });
      }
      return stored;
    });
}
