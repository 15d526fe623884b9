export { type CopyOptions, type CopyResult, copyImage } from "./copy-image.js";
export { type Digest, digestOf, isDigest } from "./digest.js";
export { type Descriptor, type ImageManifest, parseManifest } from "./documents.js";
export { forgetTag } from "./forget-tag.js";
export { type ImageConfig, parseImageConfig } from "./image-config.js";
export { contentOf, type ImageNames, openArchiveTarget, openLayoutTarget } from "./layout-target.js";
export {
  type Compression,
  isConfig,
  isManifest,
  layerCompression,
  layerMediaType,
  OCI_CONFIG,
  OCI_MANIFEST,
  SNAPSHOT_ARTIFACT,
  SNAPSHOT_CONFIG,
  SNAPSHOT_PLATFORM,
} from "./media-types.js";
export {
  type ImageContent,
  isSnapshotContent,
  type LayerDescriptor,
  type OpenImageOptions,
  openImage,
  openImageOrSnapshot,
  type SnapshotContent,
} from "./open-image.js";
export { openSource, type SourceOptions } from "./open-source.js";
export { openTarget } from "./open-target.js";
export { type ImageOrigin, readDocument } from "./origin.js";
export { parseDocument } from "./parse-document.js";
export {
  formatPlatform,
  hostPlatform,
  isFor,
  listPlatforms,
  type Platform,
  parsePlatform,
  runnablePlatforms,
} from "./platform.js";
export { readRange } from "./read-range.js";
export { formatReference, parseReference, type RegistryReference } from "./reference.js";
export type { NetworkLimits, PullPolicy } from "./registry/index.js";
// Not through the registry's own door: that would load its HTTP library at every start.
export { parseRegistryAuth, type RegistryAuth } from "./registry/registry-auth.js";
export {
  type EngineSource,
  formatImageSource,
  type ImageSource,
  type LocalSource,
  parseImageSource,
  type RegistrySource,
} from "./source.js";
export {
  readStoredDocument,
  readStoredTag,
  type StoredDocument,
  type StoredTag,
  storedDocuments,
  storedTags,
  usedDocuments,
} from "./stored-documents.js";
export { TarWriter } from "./tar-writer.js";
export type { BlobOutcome, ImageTarget, OutgoingBlob, OutgoingDocument } from "./target.js";
export { verified } from "./verified-stream.js";
