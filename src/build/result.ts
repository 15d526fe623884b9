import {
  type BakeSource,
  bakeOnce,
  checkName,
  Image,
  nameOfFolder,
  runConfigurationOf,
  tagSnapshot,
} from "../image/index.js";
import type { Runtime } from "../machine/index.js";
import { formatPlatform } from "../oci/index.js";
import type { StoredLayer } from "../rootfs/index.js";
import { type ImageState, imageDocument } from "./image-state.js";
import type { BuildOptions } from "./options.js";

/** How a result is baked. */
interface ResultOptions
  extends Pick<BuildOptions, "names" | "memoryMiB" | "vcpus" | "snapshotsDir" | "signal" | "onProgress"> {
  /** What the image was made of. */
  reference: string;
}

/** Bakes a built image, so that its microVMs start at once, and gives the snapshot each of its names. */
export async function bakeResult(
  runtime: Runtime,
  state: ImageState,
  options: ResultOptions,
): Promise<{ image: Image; id: string; names: string[] }> {
  const { document, digest } = imageDocument(state);
  const layers = [...state.layers];
  const source: BakeSource = {
    reference: options.reference,
    manifestDigest: digest,
    platform: formatPlatform(state.platform),
    config: runConfigurationOf({ config: state.config }, {}),
    image: document,
    identity: { configDigest: digest, layers },
    layerPaths: layers.map(({ path }) => path),
    ensureLayers: async (): Promise<StoredLayer[]> => layers,
  };
  const { memoryMiB, vcpus, snapshotsDir, signal, onProgress } = options;
  const [name, ...others] = namesOf(options);
  const folder = await bakeOnce(runtime, source, { name, memoryMiB, vcpus, snapshotsDir, signal, onProgress });
  const folders = [folder];
  for (const other of others) folders.push(await tagSnapshot(folder, other, { snapshotsDir, signal }));
  const image = await Image.openWith(runtime, folder, signal);
  return { image, id: digest, names: folders.map(nameOfFolder) };
}

/** The names of the snapshots; without any, bakeOnce makes one of the context's. @throws UsageError */
export function namesOf({ names = [] }: Pick<BuildOptions, "names">): string[] {
  return [...new Set(names.map(checkName))];
}
