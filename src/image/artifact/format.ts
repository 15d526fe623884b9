import * as v from "valibot";
import { ImageError } from "../../errors.js";
import { type Descriptor, type Digest, type ImageManifest, isDigest, parseDocument } from "../../oci/index.js";
import { RunConfigurationSchema } from "../metadata.js";

/** Media types of a snapshot's blobs. All of them are packed by gzip. */
export const BLOB_TYPES = {
  delta: "application/vnd.supermachine.snapshot.memory.v1+gzip",
  deviceState: "application/vnd.supermachine.snapshot.device-state.v1+gzip",
  rootDisk: "application/vnd.supermachine.snapshot.disk.v1.qcow2+gzip",
  templateRam: "application/vnd.supermachine.template.memory.v1+gzip",
  templateState: "application/vnd.supermachine.template.device-state.v1+gzip",
  layer: "application/vnd.supermachine.layer.v1.erofs+gzip",
} as const;

/** Annotations of a blob: digest and size of what it unpacks to. */
export const CONTENT_DIGEST = "vnd.supermachine.content.digest";
export const CONTENT_SIZE = "vnd.supermachine.content.size";
/** Annotation of a layer: the digest of the archive that it was converted from. Nobody can verify it. */
export const DIFF_ID = "vnd.supermachine.layer.diff-id";

const whole = (least: number, most: number) => v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));
const digest = v.pipe(
  v.string(),
  v.check(isDigest, "is not a digest"),
  v.transform((text) => text as Digest),
);
/** It becomes a part of a folder's name. */
const templateKey = v.pipe(v.string(), v.regex(/^[0-9a-f]{24}$/, "is not a template's key"));

const Config = v.object({
  schemaVersion: v.literal(1, "must be 1"),
  created: v.pipe(v.string(), v.isoTimestamp("is not a time")),
  platform: v.pipe(v.string(), v.regex(/^[a-z0-9_.-]{1,40}(\/[a-z0-9_.-]{1,40}){1,2}$/, "is not a platform")),
  /** `baked` from layers and nothing else, or the state of a guest that had run. */
  state: v.picklist(["baked", "captured"], "must be baked or captured"),
  /** What it was baked from, where that is a name in a registry. */
  reference: v.optional(v.string()),
  manifestDigest: v.string(),
  hostname: v.optional(v.string()),
  ready: v.optional(v.picklist(["start", "listener", "before-workload"])),
  guestPort: v.optional(whole(1, 65_535)),
  template: v.object({
    key: templateKey,
    memoryMiB: whole(1, 1 << 20),
    vcpus: whole(1, 1024),
    accelerator: v.picklist(["kvm", "hvf", "whpx", "tcg"]),
    hypervisor: v.string(),
  }),
  config: RunConfigurationSchema,
  /** The disk that the root's writable layer is on, where it is not in memory. */
  rootDisk: v.optional(v.object({ lun: whole(1, 16_383), sizeMiB: whole(1, 1 << 20) })),
  /** The guest's disks, from the lowest layer to the highest; `content` is that of one of the manifest's layers. */
  layers: v.pipe(v.array(v.object({ lun: whole(0, 16_383), diffId: digest, content: digest })), v.maxLength(256)),
});

/** The config of a snapshot's manifest: everything about it but its bytes. It has no path of any host in it. */
export type ArtifactConfig = v.InferOutput<typeof Config>;

/** A blob of a snapshot, and what it unpacks to. */
export interface ArtifactBlob {
  descriptor: Descriptor & { digest: Digest };
  content: { digest: Digest; size: number };
}

/** A snapshot's manifest and config, checked for being complete. */
export interface Artifact {
  config: ArtifactConfig;
  delta: ArtifactBlob;
  deviceState: ArtifactBlob;
  /** Of a snapshot whose root is written to on a disk. */
  rootDisk: ArtifactBlob | undefined;
  templateRam: ArtifactBlob;
  templateState: ArtifactBlob;
  /** One for each of the config's layers, in their order. */
  layers: ArtifactBlob[];
}

/** @throws ImageError that says what is wrong or missing; `name` is the artifact's, for messages */
export function parseArtifact(manifest: ImageManifest, configBytes: Uint8Array, name: string): Artifact {
  const config = parseDocument(Config, configBytes, `the config of the snapshot ${name}`);
  const blobs = manifest.layers.map((descriptor) => blobOf(descriptor, name));
  const only = (kind: keyof typeof BLOB_TYPES): ArtifactBlob => {
    const [found, ...others] = blobs.filter(({ descriptor }) => descriptor.mediaType === BLOB_TYPES[kind]);
    if (found !== undefined && others.length === 0) return found;
    throw new ImageError(
      `the snapshot ${name} has ${found ? "several blobs" : "no blob"} of the type ${BLOB_TYPES[kind]}`,
    );
  };
  const layers = config.layers.map(({ content }) => {
    const isIt = (blob: ArtifactBlob) =>
      blob.content.digest === content && blob.descriptor.mediaType === BLOB_TYPES.layer;
    const blob = blobs.find(isIt);
    if (blob !== undefined) return blob;
    throw new ImageError(`the snapshot ${name} has no blob for its layer ${content}`);
  });
  const disks = [...config.layers, ...(config.rootDisk ? [config.rootDisk] : [])];
  if (new Set(disks.map(({ lun }) => lun)).size < disks.length)
    throw new ImageError(`the snapshot ${name} has two disks of one number`);
  const [delta, deviceState] = [only("delta"), only("deviceState")];
  const rootDisk = config.rootDisk && only("rootDisk");
  const [templateRam, templateState] = [only("templateRam"), only("templateState")];
  return { config, delta, deviceState, rootDisk, templateRam, templateState, layers };
}

function blobOf(descriptor: Descriptor, name: string): ArtifactBlob {
  const { digest: blobDigest, annotations } = descriptor;
  const contentDigest = annotations?.[CONTENT_DIGEST] ?? "";
  const size = annotations?.[CONTENT_SIZE] ?? "";
  if (isDigest(blobDigest) && isDigest(contentDigest) && /^\d{1,15}$/.test(size)) {
    return {
      descriptor: { ...descriptor, digest: blobDigest },
      content: { digest: contentDigest, size: Number(size) },
    };
  }
  throw new ImageError(`the snapshot ${name} does not say what its blob ${blobDigest} unpacks to`);
}
