import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { CacheMissError, UsageError } from "../errors.js";
import { ensureTemplate, findTemplate, type Machine, type Runtime, type Template } from "../machine/index.js";
import type { LongWork } from "../progress.js";
import type { StoredLayer } from "../rootfs/index.js";
import { home, lease, produceOnce, rememberRoot, sweepPartials } from "../store/index.js";
import { together } from "../together.js";
import { imageCommand } from "../vm/index.js";
import { bake } from "./bake.js";
import { keepBaked, snapshotId } from "./baked.js";
import { settingsKey } from "./guest-settings.js";
import { readMetadata, type SnapshotMetadata } from "./metadata.js";
import { checkName, namedFolder } from "./name.js";
import { type BakeIdentity, type BakeOptions, bakeKey, DEFAULT_HOSTNAME, defaultName, sizeOf } from "./options.js";
import { exposedPort, readyOf } from "./ready.js";
import { warmupTagOf } from "./warm-up.js";
import { diskSizeOf } from "./writable.js";

const HOSTNAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/;

/** What a snapshot can be baked from. */
export interface BakeSource extends Pick<SnapshotMetadata, "reference" | "manifestDigest" | "config" | "image"> {
  platform: string;
  identity: BakeIdentity;
  /** Where its layers are, or will be. */
  layerPaths: readonly string[];
  /** Makes sure that the layers are in the store, and gives those that have content, from the lowest to the highest. */
  ensureLayers(work: LongWork): Promise<StoredLayer[]>;
}

/** Finds or bakes the snapshot of a source, and gives its folder. */
export async function bakeOnce(runtime: Runtime, source: BakeSource, asked: BakeOptions): Promise<string> {
  const { reference, manifestDigest, platform, config, image } = source;
  const options = { ...asked, guestPort: asked.guestPort ?? exposedPort(config.exposedPorts) };
  const size = sizeOf(options);
  const hostname = checkHostname(options.hostname ?? DEFAULT_HOSTNAME);
  const state = {
    ...readyOf(options),
    warmupTag: warmupTagOf(options),
    egress: options.egress,
    settings: settingsKey(options),
    diskMiB: diskSizeOf(options),
  };
  // Better no bake than one that cannot be started.
  if (state.ready !== "start") imageCommand(config);
  const placeFor = (template: Template) => {
    const key = bakeKey(source.identity, config, template.id, hostname, state);
    return { key, ...snapshotPlace(reference, key, options) };
  };

  const present = await findTemplate(runtime, size);
  if (present) {
    const { folder, key } = placeFor(present);
    if (await findSnapshot(folder, key)) return folder;
  }
  if (options.bake === "never") {
    throw new CacheMissError(`there is no snapshot of ${reference} with these settings`, {
      hint: `\`supermachine pull ${reference}\` makes one, or a run that may bake.`,
    });
  }
  await using _lease = await leaseFor(source.layerPaths, options.signal);
  await sweepPartials(snapshotsFolder(options));
  // A first boot and the conversion of the layers do not need each other.
  const [template, layers] = await together(options.signal, [
    (signal) => ensureTemplate(runtime, size, { ...options, signal }),
    (signal) => source.ensureLayers({ ...options, signal }),
  ]);
  const { folder, key, name } = placeFor(template);
  const captured = options.warmup === undefined ? undefined : true;
  const input = {
    name,
    reference,
    key,
    manifestDigest,
    platform,
    template,
    layers,
    config,
    hostname,
    captured,
    image,
    ...state,
  };
  await rememberRoot(folder);
  let baked: Machine | undefined;
  try {
    const metadata = await produceOnce(folder, {
      find: () => findSnapshot(folder, key),
      make: async (partial) => {
        baked = await bake(partial, runtime, input, options);
      },
      ...(options.signal && { signal: options.signal }),
    });
    if (baked) keepBaked(snapshotId(folder, metadata), baked);
  } catch (error) {
    await baked?.stop();
    throw error;
  }
  return folder;
}

/** Name and folder of the snapshot with this key. */
export function snapshotPlace(reference: string, key: string, options: BakeOptions): { name: string; folder: string } {
  const name = options.name === undefined ? defaultName(reference, key) : checkName(options.name);
  return { name, folder: namedFolder(name, snapshotsFolder(options)) };
}

/** Where snapshots are kept. */
export function snapshotsFolder({ snapshotsDir }: BakeOptions): string {
  return resolve(snapshotsDir ?? home().snapshots);
}

/** What a snapshot that is being made uses is there before it refers to it. */
export function leaseFor(layers: readonly string[], signal: AbortSignal | undefined): Promise<AsyncDisposable> {
  const { assets, blobs, templates } = home();
  return lease([assets, blobs, templates, ...layers], signal);
}

/** The snapshot in `folder`, if it was made from just this input and nothing of it is missing. */
export async function findSnapshot(folder: string, key: string): Promise<SnapshotMetadata | undefined> {
  try {
    const metadata = await readMetadata(folder);
    if (metadata.key !== key) return undefined;
    await Promise.all(metadata.layers.map(({ path }) => stat(path)));
    return metadata;
  } catch {
    // Missing or damaged: it is made again.
    return undefined;
  }
}

function checkHostname(hostname: string): string {
  if (HOSTNAME.test(hostname)) return hostname;
  throw new UsageError(`${JSON.stringify(hostname)} cannot be a host name`);
}
