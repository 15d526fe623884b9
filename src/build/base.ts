import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { UsageError } from "../errors.js";
import {
  ensureLayers,
  isName,
  METADATA_FILE,
  namedFolder,
  readMetadata,
  type SnapshotMetadata,
} from "../image/index.js";
import {
  formatPlatform,
  hostPlatform,
  type ImageConfig,
  isFor,
  openImage,
  type Platform,
  type PullPolicy,
  parseImageConfig,
  parsePlatform,
  type RegistryAuth,
} from "../oci/index.js";
import type { LongWork } from "../progress.js";
import type { StoredLayer } from "../rootfs/index.js";
import type { History, ImageState } from "./image-state.js";

/** How images that a build begins with are found. */
export interface BaseOptions extends LongWork {
  pull?: PullPolicy | undefined;
  registryAuth?: RegistryAuth | undefined;
  snapshotsDir?: string | undefined;
}

/** An image from elsewhere: as a beginning, and its configuration as the frontend reads it. */
export interface Base {
  state: ImageState;
  document: ImageConfig;
}

const BEGINNING = new Date(0).toISOString();

/** What FROM scratch begins with: nothing. */
export function emptyImage(platform: Platform): ImageState {
  return { platform, config: NO_CONFIG, layers: [], history: [], createdAt: BEGINNING };
}

/** The configuration of an image that says nothing of how it is run. */
export function emptyDocument({ os, architecture, variant }: Platform): ImageConfig {
  const rootfs = { type: "layers" as const, diff_ids: [] };
  return {
    os,
    architecture,
    variant,
    created: undefined,
    author: undefined,
    config: NO_CONFIG,
    rootfs,
    history: undefined,
  };
}

/**
 * Opens the image that a stage begins with, or that files are copied from: the name of a snapshot, if there is one, else a reference. Its
 * layers are in the store afterwards.
 * @throws ImageError, ImageNotFoundError, RegistryAuthError, RegistryUnreachableError; UsageError for a snapshot of what had run
 */
export async function openBase(text: string, platform: Platform, options: BaseOptions): Promise<Base> {
  const folder = isName(text) ? namedFolder(text, options.snapshotsDir) : undefined;
  if (folder !== undefined && (await isThere(join(folder, METADATA_FILE)))) {
    return checkedSnapshot(text, await readMetadata(folder), platform);
  }
  const { pull, registryAuth, signal } = options;
  await using content = await openImage(text, { platform, pull, registryAuth, signal });
  if (!isFor(platform, content.config)) {
    throw new UsageError(`${text} is for ${formatPlatform(content.config)}, not for ${formatPlatform(platform)}`);
  }
  return baseOf(content.config, await ensureLayers(content, options));
}

function checkedSnapshot(name: string, metadata: SnapshotMetadata, platform: Platform): Promise<Base> {
  if (metadata.captured) {
    throw new UsageError(`the snapshot ${name} holds a guest that had run, whose files are in its memory`, {
      hint: `Begin with ${metadata.reference}, or with a snapshot that was baked without a warm-up.`,
    });
  }
  const own = platformOf(metadata);
  if (!isFor(platform, own)) {
    throw new UsageError(`the snapshot ${name} is for ${formatPlatform(own)}, not for ${formatPlatform(platform)}`);
  }
  return snapshotBase(name, metadata);
}

/** The image that a snapshot was baked from. */
export async function snapshotBase(name: string, metadata: SnapshotMetadata): Promise<Base> {
  const own = platformOf(metadata);
  const layers = await Promise.all(
    metadata.layers.map(async ({ path, diffId }): Promise<StoredLayer> => {
      const { size } = await stat(path);
      return { path, diffId, size, empty: false };
    }),
  );
  if (metadata.image) {
    return baseOf(parseImageConfig(Buffer.from(JSON.stringify(metadata.image)), `the snapshot ${name}`), layers);
  }
  const { entrypoint, cmd, env, workdir, user } = metadata.config;
  const config = {
    ...NO_CONFIG,
    Entrypoint: entrypoint,
    Cmd: cmd,
    Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    WorkingDir: workdir,
    User: user,
  };
  const document: ImageConfig = { ...emptyDocument(own), created: metadata.createdAt, config };
  return { state: { platform: own, config, layers, history: [], createdAt: metadata.createdAt }, document };
}

function platformOf({ platform }: SnapshotMetadata): Platform {
  return platform === undefined ? hostPlatform() : parsePlatform(platform);
}

const NO_CONFIG = parseImageConfig(
  Buffer.from('{"architecture":"none","os":"none","rootfs":{"type":"layers"},"config":{}}'),
  "the empty configuration",
).config;

/** Layers without content are not kept, so the history must not count them. */
function baseOf(document: ImageConfig, layers: readonly StoredLayer[]): Base {
  const { os, architecture, variant, config, rootfs } = document;
  const kept = new Set(layers.map(({ diffId }) => diffId));
  const diffIds = [...(rootfs.diff_ids ?? [])];
  const lines = document.history ?? [];
  const history = lines.map((line): History => {
    if (line.empty_layer) return line;
    const diffId = diffIds.shift();
    return diffId !== undefined && kept.has(diffId) ? line : { ...line, empty_layer: true };
  });
  const state: ImageState = {
    platform: { os, architecture, variant },
    config: config ?? NO_CONFIG,
    layers,
    history,
    createdAt: parsedTime(document.created),
  };
  return { state, document };
}

function parsedTime(text: string | undefined): string {
  const result = v.safeParse(v.pipe(v.string(), v.isoTimestamp()), text);
  return result.success ? new Date(result.output).toISOString() : BEGINNING;
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
