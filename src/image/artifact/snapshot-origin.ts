import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { CacheInvalidError, CacheMissError } from "../../errors.js";
import { CAPTURE_FILES, ROOT_DISK_FILE, templateFiles } from "../../machine/index.js";
import {
  type Descriptor,
  type Digest,
  digestOf,
  hostPlatform,
  type ImageOrigin,
  OCI_MANIFEST,
  SNAPSHOT_ARTIFACT,
  SNAPSHOT_CONFIG,
  SNAPSHOT_PLATFORM,
} from "../../oci/index.js";
import type { LongWork } from "../../progress.js";
import { together } from "../../together.js";
import { readMetadata, type SnapshotMetadata } from "../metadata.js";
import { type ArtifactConfig, BLOB_TYPES, CONTENT_DIGEST, CONTENT_SIZE, DIFF_ID } from "./format.js";
import { type PackedFile, Packer } from "./packed-file.js";
import { publicReference, requireKnownFiles } from "./snapshot-files.js";

/** Packing is bound by the processor. */
const AT_ONCE = 2;

interface Part {
  mediaType: string;
  path: string;
  diffId?: string;
}

interface PackedPart extends Part {
  file: PackedFile;
}

/**
 * Gives the snapshot in `folder` the form of an image in a registry: an OCI manifest of the artifact type of snapshots, with the
 * template and the layers that it cannot be restored without (docs/artifacts.md).
 * @throws ImageNotFoundError, CacheInvalidError, CacheMissError when a part of it is missing
 */
export async function openSnapshot(folder: string, work: LongWork): Promise<ImageOrigin> {
  const metadata = await readMetadata(folder);
  const parts = await partsOf(folder, metadata);
  const packer = new Packer();
  try {
    await packer.sweep();
    const packed = await packAll(parts, packer, work);
    const config = Buffer.from(JSON.stringify(configOf(metadata, packed)));
    const manifest = Buffer.from(JSON.stringify(manifestOf(metadata, config, packed)));
    const documents = new Map([config, manifest].map((bytes) => [digestOf(bytes) as string, bytes]));
    const files = new Map(packed.map(({ file }) => [file.blob.digest as string, file]));
    const root = { mediaType: OCI_MANIFEST, digest: digestOf(manifest), size: manifest.length };
    return {
      name: metadata.name,
      roots: [{ ...root, artifactType: SNAPSHOT_ARTIFACT }],
      size: async ({ digest }) => documents.get(digest)?.length ?? files.get(digest)?.blob.size,
      async open({ digest }, signal) {
        const document = documents.get(digest);
        if (document !== undefined) return Readable.from([document]);
        const file = files.get(digest);
        if (file === undefined) throw new CacheMissError(`the snapshot ${metadata.name} has no blob ${digest}`);
        return file.open({ ...work, signal: signal ?? work.signal });
      },
      [Symbol.asyncDispose]: () => packer[Symbol.asyncDispose](),
    };
  } catch (error) {
    await packer[Symbol.asyncDispose]();
    throw error;
  }
}

async function partsOf(folder: string, metadata: SnapshotMetadata): Promise<Part[]> {
  const { name, template, layers, rootDisk } = metadata;
  await requireKnownFiles(folder, metadata);
  const files = await templateFiles(template);
  if (files === undefined) {
    throw new CacheInvalidError(`the snapshot ${name} cannot be pushed: the template that it is based on is gone`, {
      hint: "Bake it anew, then push it.",
    });
  }
  const distinct = new Map(layers.map((layer) => [layer.path, layer]));
  return [
    ...[...distinct.values()].map(({ path, diffId }) => ({ mediaType: BLOB_TYPES.layer, path, diffId })),
    { mediaType: BLOB_TYPES.templateRam, path: files.ram },
    { mediaType: BLOB_TYPES.templateState, path: files.deviceState },
    { mediaType: BLOB_TYPES.delta, path: join(folder, CAPTURE_FILES.delta) },
    { mediaType: BLOB_TYPES.deviceState, path: join(folder, CAPTURE_FILES.deviceState) },
    ...(rootDisk ? [{ mediaType: BLOB_TYPES.rootDisk, path: join(folder, ROOT_DISK_FILE) }] : []),
  ];
}

/** The parts in their order, each packed. */
async function packAll(parts: readonly Part[], packer: Packer, work: LongWork): Promise<PackedPart[]> {
  const packed: PackedPart[] = [];
  const queue = [...parts.entries()];
  const pack = async (signal: AbortSignal): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [i, part] = next;
      packed[i] = { ...part, file: await packer.pack(part.path, { ...work, signal }).catch(explain(part)) };
    }
  };
  await together(work.signal, Array(AT_ONCE).fill(pack));
  return packed;
}

function explain({ path }: Part) {
  return (cause: NodeJS.ErrnoException): never => {
    if (cause.code !== "ENOENT") throw cause;
    throw new CacheMissError(`${path} is missing`, { cause, hint: "Bake the image anew, then push it." });
  };
}

function configOf(metadata: SnapshotMetadata, parts: readonly PackedPart[]): ArtifactConfig {
  const { template, config, hostname, ready, guestPort, manifestDigest, createdAt, layers, captured, rootDisk } =
    metadata;
  const contents = new Map(parts.map(({ path, file }) => [path, file.content.digest]));
  const reference = publicReference(metadata.reference);
  return {
    schemaVersion: 1,
    created: createdAt,
    platform: platformOf(metadata),
    state: captured ? "captured" : "baked",
    ...(reference !== undefined && { reference }),
    manifestDigest,
    ...(hostname !== undefined && { hostname }),
    ...(ready !== undefined && { ready }),
    ...(guestPort !== undefined && { guestPort }),
    template: {
      key: template.key,
      memoryMiB: template.memoryMiB,
      vcpus: template.vcpus,
      accelerator: template.accelerator,
      hypervisor: template.hypervisor,
    },
    config,
    ...(rootDisk && { rootDisk: { lun: rootDisk.lun, sizeMiB: rootDisk.sizeMiB } }),
    layers: layers.map(({ lun, path, diffId }) => {
      const content = contents.get(path);
      if (content === undefined) throw new CacheMissError(`${path} is missing`);
      return { lun, diffId: diffId as Digest, content };
    }),
  };
}

function manifestOf(metadata: SnapshotMetadata, config: Buffer, parts: readonly PackedPart[]): object {
  const layers = parts.map(
    ({ mediaType, diffId, file, path }): Descriptor => ({
      mediaType,
      ...file.blob,
      annotations: {
        "org.opencontainers.image.title": diffId === undefined ? basename(path) : `${diffId}.erofs`,
        [CONTENT_DIGEST]: file.content.digest,
        [CONTENT_SIZE]: String(file.content.size),
        ...(diffId !== undefined && { [DIFF_ID]: diffId }),
      },
    }),
  );
  // A file may be there twice under two names, but one blob needs to be named but once.
  const distinct = [...new Map(layers.map((layer) => [`${layer.mediaType} ${layer.digest}`, layer])).values()];
  return {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: SNAPSHOT_ARTIFACT,
    config: { mediaType: SNAPSHOT_CONFIG, digest: digestOf(config), size: config.length },
    layers: distinct,
    annotations: {
      "org.opencontainers.image.created": metadata.createdAt,
      [SNAPSHOT_PLATFORM]: platformOf(metadata),
    },
  };
}

function platformOf({ platform }: SnapshotMetadata): string {
  const { os, architecture } = hostPlatform();
  return platform ?? `${os}/${architecture}`;
}
