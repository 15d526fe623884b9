export { isWholeDeviceState } from "./bake.js";
export { Image, type StartOptions } from "./image.js";
export { METADATA_FILE, readMetadata, type SnapshotMetadata } from "./metadata.js";
export type { BakeOptions } from "./options.js";
export { closePools, Pool } from "./pool.js";
export { type PushedImage, type PushOptions, pushImage } from "./push-image.js";
export type { Ready } from "./ready.js";
export { listImages, removeImage, type SnapshotSummary } from "./snapshots.js";
export type { Warmup } from "./warm-up.js";
