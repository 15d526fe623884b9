export { type Pruned, type PruneOptions, type PruneResult, prune } from "./prune.js";
export { type PruneBuildCacheOptions, pruneBuildCache } from "./prune-build-cache.js";
export { type RemoveOptions, removeImages } from "./remove-images.js";
export type { UnusedKind } from "./unused.js";
export { diskUsage, type ImageUsage, type StoreUsage } from "./usage.js";
export { type StoreDiagnosis, type StoreProblem, type VerifyStoreOptions, verifyStore } from "./verify-store.js";
