import { createHash } from "node:crypto";
import type { ImageConfig } from "../oci/index.js";
import type { StoredLayer } from "../rootfs/index.js";

/** How an image wants to be run, as its documents have it. */
export type ContainerConfig = NonNullable<ImageConfig["config"]>;

/** One line of an image's history, in the form of its documents. */
export type History = NonNullable<ImageConfig["history"]>[number];

/** An image as far as it is built. Instructions give a new state and leave the old one as it is. */
export interface ImageState {
  platform: { os: string; architecture: string; variant?: string | undefined };
  config: ContainerConfig;
  /** Those that have content, from the lowest to the highest. */
  layers: readonly StoredLayer[];
  history: readonly History[];
  /** Who made it, where that was said. */
  author?: string | undefined;
  /** When its newest part was made. What is found again keeps its time, so that the same build gives the same image. */
  createdAt: string;
}

/** Names the files of an image: whatever they were made by, the same layers give the same text. */
export function filesKey({ layers }: Pick<ImageState, "layers">): string {
  const hash = createHash("sha256");
  for (const { diffId } of layers) hash.update(`${diffId}\n`);
  return hash.digest("hex");
}

/** The state after an instruction that has made a layer, or has made none because it changed no file. */
export function withLayer(
  state: ImageState,
  { layer, createdAt }: { layer: StoredLayer | undefined; createdAt: string },
  createdBy: string,
): ImageState {
  const entry: History = { created: createdAt, created_by: createdBy, ...(layer ? {} : { empty_layer: true }) };
  return {
    ...state,
    layers: layer ? [...state.layers, layer] : state.layers,
    history: [...state.history, entry],
    createdAt: createdAt > state.createdAt ? createdAt : state.createdAt,
  };
}

/** The state after an instruction that only says how the image is run. */
export function withConfig(state: ImageState, config: ContainerConfig, createdBy: string): ImageState {
  const entry: History = { created: state.createdAt, created_by: createdBy, empty_layer: true };
  return { ...state, config, history: [...state.history, entry] };
}

/** The OCI configuration of an image, and the digest of its bytes, which is the image's id. */
export function imageDocument(state: ImageState): { document: Record<string, unknown>; digest: string } {
  const { platform, config, layers, history, author, createdAt } = state;
  const { variant } = platform;
  const document = {
    created: createdAt,
    ...(author === undefined ? {} : { author }),
    architecture: platform.architecture,
    os: platform.os,
    ...(variant === undefined ? {} : { variant }),
    config: defined(config),
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: history.map(defined),
  };
  const digest = createHash("sha256").update(JSON.stringify(document)).digest("hex");
  return { document, digest: `sha256:${digest}` };
}

function defined(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
