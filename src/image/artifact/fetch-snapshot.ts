import { mkdir, readFile, stat } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { checkDiskImage } from "../../engine/index.js";
import { CacheInvalidError, ImageError } from "../../errors.js";
import {
  CAPTURE_FILES,
  findTemplate,
  installTemplate,
  ROOT_DISK_FILE,
  type Runtime,
  rootDiskBytes,
  type Template,
} from "../../machine/index.js";
import { Delta } from "../../memory/index.js";
import type { SnapshotContent } from "../../oci/index.js";
import type { LongWork } from "../../progress.js";
import { together } from "../../together.js";
import { checksum } from "../bake.js";
import { type SnapshotMetadata, writeMetadata } from "../metadata.js";
import { describeRootDisk } from "../root-disk-file.js";
import { fetchLayers, isSame } from "./fetch-layers.js";
import type { Artifact, ArtifactBlob } from "./format.js";
import { unpackBlob } from "./unpack-blob.js";

const MIB = 1 << 20;
/** A device state is some 100 KB; it grows with devices and processors, not with memory. */
const MOST_STATE_BYTES = 64 * MIB;
/** Header and runs of a delta come on top of its pages: at most one run of 8 bytes for a page of 4,096. */
const DELTA_OVERHEAD = 1 + 8 / 4096;
const DELTA_HEADER_BYTES = 64;
/** Tables of an image of a disk come on top of its content: less than 32 bytes for a cluster of 65,536, and some clusters. */
const IMAGE_OVERHEAD = 1 + 32 / 65_536;
const IMAGE_HEADER_BYTES = MIB;

/** What is fetched, and what it will be called. */
export interface SnapshotInput {
  content: SnapshotContent;
  artifact: Artifact;
  key: string;
  name: string;
  reference: string;
}

/** Fetches a snapshot that fits this host into `folder`, with its template and layers beside those that are here. */
export async function fetchSnapshot(
  folder: string,
  runtime: Runtime,
  { content, artifact, key, name, reference }: SnapshotInput,
  work: LongWork,
): Promise<void> {
  const { config, delta, deviceState } = artifact;
  checkSizes(artifact, content.reference);
  await mkdir(folder, { recursive: true });
  const [deltaPath, statePath] = [join(folder, CAPTURE_FILES.delta), join(folder, CAPTURE_FILES.deviceState)];
  // What is small is checked before what is large is fetched.
  await together(work.signal, [
    (signal) => unpackBlob(content, delta, deltaPath, { ...work, signal }),
    (signal) => unpackBlob(content, deviceState, statePath, { ...work, signal }),
  ]);
  await checkDelta(deltaPath, config.template.memoryMiB * MIB, content.reference);
  const disk = await fetchRootDisk(folder, content, artifact, work);
  const [template, layers] = await together(work.signal, [
    (signal) => fetchTemplate(runtime, content, artifact, { ...work, signal }),
    (signal) => fetchLayers(content, artifact, { ...work, signal }),
  ]);
  await writeMetadata(folder, {
    ...{ name, reference, key, manifestDigest: content.manifestDigest, platform: config.platform },
    hostname: config.hostname,
    ready: config.ready,
    guestPort: config.guestPort,
    captured: config.state === "captured",
    createdAt: config.created,
    template: { ...config.template, id: template.id },
    config: config.config,
    rootDisk: disk,
    deviceState: checksum(await readFile(statePath)),
    layers: config.layers.map(({ lun, diffId }, i) => {
      const path = layers[i]?.path;
      if (path === undefined) throw new ImageError(`the snapshot ${content.reference} lacks the layer ${diffId}`);
      return { lun, path, diffId };
    }),
  });
}

/** The disk of the root, if it has one; it must not lead to other files of this host. */
async function fetchRootDisk(
  folder: string,
  content: SnapshotContent,
  { config, rootDisk }: Artifact,
  work: LongWork,
): Promise<SnapshotMetadata["rootDisk"]> {
  if (!rootDisk || !config.rootDisk) return undefined;
  const path = join(folder, ROOT_DISK_FILE);
  await unpackBlob(content, rootDisk, path, work);
  try {
    await checkDiskImage(path, rootDiskBytes(config.rootDisk));
  } catch (cause) {
    if (!(cause instanceof CacheInvalidError)) throw cause;
    throw new ImageError(`the snapshot ${content.reference} has a disk that is malformed`, { cause });
  }
  return describeRootDisk(folder, config.rootDisk);
}

/** The template that the snapshot was taken on: the one of this host, if it is the very same, else its own. */
async function fetchTemplate(
  runtime: Runtime,
  content: SnapshotContent,
  { config, templateRam, templateState }: Artifact,
  work: LongWork,
): Promise<Template> {
  const size = { memoryMiB: config.template.memoryMiB, vcpus: config.template.vcpus };
  const own = await findTemplate(runtime, size);
  if (own !== undefined && (await isOwn(own, templateRam, templateState, work.signal))) return own;
  const digests = { ramDigest: templateRam.content.digest, stateDigest: templateState.content.digest };
  const fill = async (files: { ram: string; deviceState: string }) => {
    await together(work.signal, [
      (signal) => unpackBlob(content, templateRam, files.ram, { ...work, signal }),
      (signal) => unpackBlob(content, templateState, files.deviceState, { ...work, signal }),
    ]);
  };
  return installTemplate(runtime, size, digests, fill, work.signal);
}

/** The device states of two boots differ nearly always, so that the RAM is seldom read for nothing. */
async function isOwn(
  { ram, deviceState }: Template,
  ramBlob: ArtifactBlob,
  stateBlob: ArtifactBlob,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const sizes = await Promise.all([deviceState, ram].map(async (path) => (await stat(path)).size));
  const [stateSize = 0, ramSize = 0] = sizes;
  return (await isSame(deviceState, stateSize, stateBlob, signal)) && isSame(ram, ramSize, ramBlob, signal);
}

/** @throws ImageError when what it promises to unpack to is more than such a guest could have */
function checkSizes(artifact: Artifact, reference: string): void {
  const { config, delta, deviceState, rootDisk, templateRam, templateState } = artifact;
  const ramBytes = config.template.memoryMiB * MIB;
  const fail = (what: string) => {
    throw new ImageError(`the snapshot ${reference} ${what}`, { hint: "Its publisher has to push it again." });
  };
  if (ramBytes > totalmem()) fail(`wants ${config.template.memoryMiB} MiB of memory, which this machine does not have`);
  if (templateRam.content.size !== ramBytes) fail(`has a template of ${templateRam.content.size} bytes`);
  if (delta.content.size > ramBytes * DELTA_OVERHEAD + DELTA_HEADER_BYTES) fail("has more pages than memory");
  const diskBytes = (config.rootDisk?.sizeMiB ?? 0) * MIB * IMAGE_OVERHEAD + IMAGE_HEADER_BYTES;
  if (rootDisk && rootDisk.content.size > diskBytes) fail("has more on its disk than that can hold");
  for (const { content } of [deviceState, templateState]) {
    if (content.size > MOST_STATE_BYTES) fail(`has a device state of ${content.size} bytes`);
  }
}

async function checkDelta(path: string, ramBytes: number, reference: string): Promise<void> {
  try {
    const delta = await Delta.read(path);
    if (delta.ramBytes === ramBytes) return;
  } catch (cause) {
    if (!(cause instanceof CacheInvalidError)) throw cause;
    throw new ImageError(`the snapshot ${reference} has a memory delta that is malformed`, { cause });
  }
  throw new ImageError(`the snapshot ${reference} has a memory delta for a guest of another size`);
}
