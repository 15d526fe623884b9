import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ImageError, UsageError } from "../errors.js";
import { ensureTemplate, findTemplate, type Runtime, type Template } from "../machine/index.js";
import {
  formatPlatform,
  hostPlatform,
  type ImageContent,
  isFor,
  listPlatforms,
  openImage,
  parsePlatform,
  runnablePlatforms,
} from "../oci/index.js";
import { LayerStore } from "../rootfs/index.js";
import { home, lease, produceOnce, rememberRoot, sweepPartials } from "../store/index.js";
import { together } from "../together.js";
import { imageCommand } from "../vm/index.js";
import { bake } from "./bake.js";
import { ensureLayers } from "./layers.js";
import { readMetadata, type SnapshotMetadata } from "./metadata.js";
import {
  type BakeOptions,
  bakeKey,
  checkName,
  DEFAULT_HOSTNAME,
  defaultName,
  runConfigurationOf,
  sizeOf,
} from "./options.js";
import { readyOf } from "./ready.js";
import { warmupTagOf } from "./warm-up.js";

const HOSTNAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/;

/** Finds or makes the snapshot of an image, and gives its folder. */
export async function bakeImage(runtime: Runtime, reference: string, options: BakeOptions): Promise<string> {
  const size = sizeOf(options);
  const hostname = checkHostname(options.hostname ?? DEFAULT_HOSTNAME);
  const state = { ...readyOf(options), warmupTag: warmupTagOf(options) };
  const snapshots = resolve(options.snapshotsDir ?? home().snapshots);
  await using content = await openImage(reference, {
    platform: options.platform === undefined ? undefined : parsePlatform(options.platform),
    pull: options.pull,
    registryAuth: options.registryAuth,
    signal: options.signal,
  });
  requireRunnable(content);
  const config = runConfigurationOf(content.config, options);
  // Better no bake than one that cannot be started.
  if (state.ready !== "start") imageCommand(config);
  const placeFor = (template: Template) => {
    const key = bakeKey(content, config, template.id, hostname, state);
    const name = options.name === undefined ? defaultName(reference, key) : checkName(options.name);
    return { key, name, folder: join(snapshots, name) };
  };

  const present = await findTemplate(runtime, size);
  if (present) {
    const { folder, key } = placeFor(present);
    if (await findSnapshot(folder, key)) return folder;
  }
  await using _lease = await leaseFor(content, options.signal);
  await sweepPartials(snapshots);
  // A first boot and the conversion of the layers do not need each other.
  const [template, layers] = await together(options.signal, [
    (signal) => ensureTemplate(runtime, size, { ...options, signal }),
    (signal) => ensureLayers(content, { ...options, signal }),
  ]);
  const { folder, key, name } = placeFor(template);
  const { manifestDigest } = content;
  const { os, architecture } = content.config;
  const platform = formatPlatform({ os, architecture });
  const input = { name, reference, key, manifestDigest, platform, template, layers, config, hostname, ...state };
  await rememberRoot(folder);
  await produceOnce(folder, {
    find: () => findSnapshot(folder, key),
    make: (partial) => bake(partial, runtime, input, options),
    ...(options.signal && { signal: options.signal }),
  });
  return folder;
}

/** @throws ImageError when the image was chosen for a machine of another kind */
function requireRunnable({ reference, config, platforms }: ImageContent): void {
  if (isFor(hostPlatform(), config)) return;
  const others =
    platforms.length > 1 ? ` The image is also there for other platforms: ${listPlatforms(platforms)}.` : "";
  throw new ImageError(`${reference} for ${formatPlatform(config)} cannot run on this machine`, {
    hint: `This machine runs images for ${listPlatforms(runnablePlatforms())}.${others}`,
  });
}

/** What a bake uses is there before a snapshot refers to it. */
function leaseFor({ layers }: ImageContent, signal: AbortSignal | undefined): Promise<AsyncDisposable> {
  const { assets, blobs, templates, layers: folder } = home();
  const store = new LayerStore(folder);
  return lease([assets, blobs, templates, ...layers.map(({ diffId }) => store.pathOf(diffId))], signal);
}

/** The snapshot in `folder`, if it was baked from just this input and nothing of it is missing. */
async function findSnapshot(folder: string, key: string): Promise<SnapshotMetadata | undefined> {
  try {
    const metadata = await readMetadata(folder);
    if (metadata.key !== key) return undefined;
    await Promise.all(metadata.layers.map(({ path }) => stat(path)));
    return metadata;
  } catch {
    // Missing or damaged: it is baked again.
    return undefined;
  }
}

function checkHostname(hostname: string): string {
  if (HOSTNAME.test(hostname)) return hostname;
  throw new UsageError(`${JSON.stringify(hostname)} cannot be a host name`);
}
