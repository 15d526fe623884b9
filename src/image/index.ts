export { Image, type StartOptions } from "./image.js";
export { type BakeOptions, isName } from "./options.js";
export { listImages, removeImage, type SnapshotSummary } from "./snapshots.js";
