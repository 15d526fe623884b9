import { BakeError, ImageError } from "../errors.js";
import { log } from "../log.js";
import type { ImageContent, LayerDescriptor } from "../oci/index.js";
import type { LongWork, ProgressEvent } from "../progress.js";
import { LayerStore, type StoredLayer } from "../rootfs/index.js";
import { home } from "../store/index.js";
import { together } from "../together.js";

/** Conversion is bound by the processor; more at once only help where a source is slow. */
const AT_ONCE = 2;
/** Each layer with content is a disk and a lower folder of the overlay; docker stops at 127. */
export const MOST_LAYERS = 250;

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
  for (const layer of queue) work.onProgress?.({ ...stepOf(layer), done: 0, state: "waiting" });
  const convertAll = async (signal: AbortSignal): Promise<void> => {
    for (let layer = queue.shift(); layer; layer = queue.shift()) {
      stored.set(layer.diffId, await ensureLayer(store, layer, content.isRemote, { ...work, signal }));
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

async function ensureLayer(
  store: LayerStore,
  layer: LayerDescriptor,
  isRemote: boolean,
  { onProgress, signal }: LongWork,
): Promise<StoredLayer> {
  const step = stepOf(layer);
  let done = 0;
  const report = (event: Partial<ProgressEvent>) => onProgress?.({ ...step, done, ...event });
  const state = isRemote ? "fetching" : "reading";
  const start = performance.now();
  const convert = (open: LayerDescriptor["open"]) =>
    store.ensure({ ...layer, blobDigest: layer.digest }, () => open(signal, (retry) => report({ state, retry })), {
      signal,
      onProgress: (bytes) => {
        done = bytes;
        report({ state: done < layer.size ? state : "converting" });
      },
    });
  const stored = await convert(layer.open).catch((error: unknown) => {
    if (!isWrong(error) || !layer.openAgain) throw error;
    log("warn", "layer", `${layer.digest} came wrong from a mirror: ${error.message}`);
    done = 0;
    report({ state, retry: { attempt: 2, reason: "a mirror gave wrong content", waitMs: 0 } });
    return convert(layer.openAgain);
  });
  const how = stored.converted ? `converted in ${(performance.now() - start).toFixed(0)} ms` : "is there already";
  log("info", "layer", `${layer.digest} ${how}`);
  report({ state: stored.converted ? "converting" : "present", done: layer.size, finished: true });
  return stored;
}

function stepOf({ digest, size }: LayerDescriptor): ProgressEvent & { total: number } {
  return { phase: "layer", item: digest, total: size };
}

/** What is missing or refused has been asked for everywhere before; what came and was not right has not. */
function isWrong(error: unknown): error is ImageError {
  return error instanceof ImageError && error.code === "ERR_SUPERMACHINE_IMAGE";
}
