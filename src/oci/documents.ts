import * as v from "valibot";
import { isDigest } from "./digest.js";
import { isIndex, isManifest, OCI_INDEX, OCI_MANIFEST, SNAPSHOT_ARTIFACT, SNAPSHOT_CONFIG } from "./media-types.js";
import { parseDocument } from "./parse-document.js";

/** More layers than any real image has; a manifest with more is refused. */
const MAX_LAYERS = 10_000;
const MAX_INDEX_ENTRIES = 10_000;

// RFC 6838, section 4.2: the two halves of a media type, 127 characters each.
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;
// The image specification's grammar, which admits algorithms that nobody has registered.
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

const mediaType = v.pipe(v.string(), v.regex(MEDIA_TYPE, "is not a media type"));

/**
 * A digest may have an algorithm that cannot be verified here: such an entry matters only when it is the one wanted.
 * One of a registered algorithm must have its exact form.
 */
const digest = v.pipe(
  v.string(),
  v.regex(ANY_DIGEST, "is not a digest"),
  v.check((text) => isDigest(text) || !/^sha(256|512):/.test(text), "is not a digest"),
);

const annotations = v.nullish(v.record(v.string(), v.string()));

const platform = v.object({
  architecture: v.string(),
  os: v.string(),
  variant: v.nullish(v.string()),
});

const descriptor = v.object({
  mediaType,
  digest,
  size: v.pipe(v.number(), v.safeInteger("must be a whole number"), v.minValue(0, "must not be negative")),
  annotations,
  platform: v.nullish(platform),
  artifactType: v.nullish(v.union([v.literal(""), mediaType])),
});

const schemaVersion = v.literal(2, "must be 2");

const index = v.pipe(
  v.looseObject({
    schemaVersion,
    mediaType: v.nullish(v.union([v.literal(""), v.pipe(v.string(), v.check(isIndex, "is not an index's"))])),
    manifests: v.pipe(v.nullish(v.array(descriptor), []), v.maxLength(MAX_INDEX_ENTRIES, "has too many entries")),
    annotations,
  }),
  // A document that can be read as two kinds means different things to different programs (CVE-2021-41190).
  v.check((document) => !("config" in document || "layers" in document), "is an index and a manifest at once"),
);

const manifest = v.pipe(
  v.looseObject({
    schemaVersion,
    mediaType: v.nullish(v.union([v.literal(""), v.pipe(v.string(), v.check(isManifest, "is not a manifest's"))])),
    artifactType: v.nullish(v.string()),
    config: descriptor,
    layers: v.pipe(v.nullish(v.array(descriptor), []), v.maxLength(MAX_LAYERS, `has more than ${MAX_LAYERS} layers`)),
    annotations,
  }),
  v.check((document) => !("manifests" in document), "is a manifest and an index at once"),
);

const imageLayout = v.object({ imageLayoutVersion: v.literal("1.0.0", "must be 1.0.0") });

const dockerSave = v.array(
  v.object({
    Config: v.string(),
    RepoTags: v.nullish(v.array(v.string())),
    Layers: v.pipe(v.nullish(v.array(v.string()), []), v.maxLength(MAX_LAYERS, `has more than ${MAX_LAYERS} layers`)),
  }),
);

const anyDocument = v.object({ mediaType: v.optional(v.string()), manifests: v.optional(v.unknown()) });

/** Names a document or a blob: its media type, digest and size in bytes. */
export type Descriptor = v.InferOutput<typeof descriptor>;
/** An OCI index or a docker manifest list. */
export type ImageIndex = v.InferOutput<typeof index>;
/** An OCI or docker (version 2, schema 2) manifest. */
export type ImageManifest = v.InferOutput<typeof manifest>;
/** `manifest.json` of `docker save`. */
export type DockerSaveManifest = v.InferOutput<typeof dockerSave>;

export const parseIndex = (bytes: Uint8Array, what: string): ImageIndex => parseDocument(index, bytes, what);
export const parseManifest = (bytes: Uint8Array, what: string): ImageManifest => parseDocument(manifest, bytes, what);
export const parseDescriptor = (bytes: Uint8Array, what: string): Descriptor => parseDocument(descriptor, bytes, what);
export const parseDockerSave = (bytes: Uint8Array, what: string): DockerSaveManifest =>
  parseDocument(dockerSave, bytes, what);

/** Whether a manifest is of a snapshot, not of an image. */
export function isSnapshot({ artifactType, config }: Pick<ImageManifest, "artifactType" | "config">): boolean {
  return artifactType === SNAPSHOT_ARTIFACT && config.mediaType === SNAPSHOT_CONFIG;
}

/** Checks `oci-layout`, the file that marks a layout and gives its version. */
export function checkImageLayout(bytes: Uint8Array, what: string): void {
  parseDocument(imageLayout, bytes, what);
}

/** The media type of a manifest or index, from what it says of itself or else from its form. */
export function documentType(bytes: Uint8Array, what: string): string {
  const { mediaType, manifests } = parseDocument(anyDocument, bytes, what);
  return mediaType || (manifests === undefined ? OCI_MANIFEST : OCI_INDEX);
}
