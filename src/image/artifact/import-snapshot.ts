import { createHash } from "node:crypto";
import { ImageError } from "../../errors.js";
import { findTemplateById, type Runtime, templateKey } from "../../machine/index.js";
import { hostPlatform, isFor, parsePlatform, type SnapshotContent } from "../../oci/index.js";
import { LayerStore } from "../../rootfs/index.js";
import { home, produceOnce, rememberRoot, sweepPartials } from "../../store/index.js";
import { type BakeSource, bakeOnce, findSnapshot, leaseFor, snapshotPlace, snapshotsFolder } from "../bake-once.js";
import type { SnapshotMetadata } from "../metadata.js";
import { type BakeOptions, changedConfiguration, foreignStateOf } from "../options.js";
import { asksForOtherDisk } from "../writable.js";
import { fetchLayers } from "./fetch-layers.js";
import { fetchSnapshot } from "./fetch-snapshot.js";
import { type Artifact, parseArtifact } from "./format.js";

/**
 * Puts a snapshot from elsewhere into the store and gives its folder. Where it fits this host it is used as it is; where it does not,
 * or where another size or configuration is asked for, a snapshot is baked from its layers.
 * @throws ImageError when it is not what it promises, or can be neither restored nor baked
 */
export async function importSnapshot(
  runtime: Runtime,
  content: SnapshotContent,
  reference: string,
  options: BakeOptions,
): Promise<string> {
  const foreignState = foreignStateOf(options);
  const key = createHash("sha256").update(`snapshot ${content.manifestDigest}`).digest("hex");
  const place = snapshotPlace(reference, key, options);
  const artifact = parseArtifact(content.manifest, await content.readConfig(options.signal), content.reference);
  requireRunnable(artifact, content);
  const reason = whyNotRestored(runtime, artifact, options) ?? (foreignState === "bake" ? "it must not be" : undefined);
  if (reason !== undefined) {
    requireBakeable(artifact, content, reason);
    return bakeOnce(runtime, sourceOf(artifact, content, reference, options), {
      ...ownOptions(artifact, options),
      ...given(options),
    });
  }
  const find = async () => {
    const found = await findSnapshot(place.folder, key);
    return found && (await findTemplateById(runtime, found.template, found.template)) ? found : undefined;
  };
  if (await find()) return place.folder;
  const snapshots = snapshotsFolder(options);
  await using _lease = await leaseFor(layerPaths(artifact), options.signal);
  await sweepPartials(snapshots);
  await rememberRoot(place.folder);
  await produceOnce<SnapshotMetadata>(place.folder, {
    find,
    make: (partial) =>
      fetchSnapshot(partial, runtime, { content, artifact, key, name: place.name, reference }, options),
    ...(options.signal && { signal: options.signal }),
  });
  return place.folder;
}

/** @throws ImageError when its processes do not run here */
function requireRunnable({ config }: Artifact, { reference }: SnapshotContent): void {
  if (isFor(hostPlatform(), parsePlatform(config.platform))) return;
  throw new ImageError(`the snapshot ${reference} is for ${config.platform}, which cannot run on this machine`);
}

/** What keeps it from being used as it is. */
function whyNotRestored(runtime: Runtime, { config }: Artifact, options: BakeOptions): string | undefined {
  const { template, hostname } = config;
  const { memoryMiB = template.memoryMiB, vcpus = template.vcpus } = options;
  if (memoryMiB !== template.memoryMiB || vcpus !== template.vcpus) return "another size is asked for";
  if (asksForOtherDisk(options, config.rootDisk?.sizeMiB)) return "another place for what is written is asked for";
  const { entrypoint, cmd, env, workdir, user } = options;
  const asked = [entrypoint, cmd, env, workdir, user].some((each) => each !== undefined);
  if (asked) return "another configuration is asked for";
  if (options.hostname !== undefined && options.hostname !== hostname) return "another host name is asked for";
  // What its VMs may reach is not the maker's to say; `image.start` takes a policy, too.
  if (options.egress !== undefined) return "a network policy of its own is asked for";
  const { ready = config.ready, guestPort = config.guestPort, warmup } = options;
  if (ready !== config.ready || guestPort !== config.guestPort || warmup !== undefined) {
    return "another moment is asked for";
  }
  if (templateKey(runtime, { memoryMiB, vcpus }) === template.key) return undefined;
  if (template.hypervisor !== runtime.hypervisor.identity) {
    return `it was made with ${template.hypervisor}, here is ${runtime.hypervisor.identity}`;
  }
  if (template.accelerator !== runtime.accelerator) {
    return `it was made with ${template.accelerator}, here ${runtime.accelerator} is used`;
  }
  return "it was made with another kernel, agent or processor";
}

/** The state of a guest that had run is not in its layers: to leave it away in silence would be worse than to fail. */
function requireBakeable({ config }: Artifact, { reference }: SnapshotContent, reason: string): void {
  if (config.state === "baked") return;
  throw new ImageError(`the snapshot ${reference} cannot be restored: ${reason}`, {
    hint: "It is the state of a VM that had run, so it cannot be baked from its layers either.",
  });
}

function sourceOf(artifact: Artifact, content: SnapshotContent, reference: string, options: BakeOptions): BakeSource {
  const { config } = artifact;
  return {
    reference,
    manifestDigest: content.manifestDigest,
    platform: config.platform,
    config: changedConfiguration(config.config, options),
    identity: {
      configDigest: content.manifestDigest,
      layers: config.layers.map((layer) => ({ diffId: layer.content })),
    },
    layerPaths: layerPaths(artifact),
    ensureLayers: (work) => fetchLayers(content, artifact, work),
  };
}

/** Without those that are there but undefined, which would hide what they are laid over. */
function given(options: BakeOptions): BakeOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** What it was baked with, for whoever asks for nothing else. */
function ownOptions({ config }: Artifact, { writable }: BakeOptions): BakeOptions {
  const { template, hostname, ready, guestPort } = config;
  const diskMiB = writable === "memory" ? undefined : config.rootDisk?.sizeMiB;
  return { memoryMiB: template.memoryMiB, vcpus: template.vcpus, diskMiB, hostname, ready, guestPort };
}

function layerPaths({ config }: Artifact): string[] {
  const store = new LayerStore(home().layers);
  return config.layers.flatMap(({ diffId, content }) => [store.pathOf(diffId), store.imagePath(content)]);
}
