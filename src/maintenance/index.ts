export { type Pruned, type PruneOptions, type PruneResult, prune } from "./prune.js";
export type { UnusedKind } from "./unused.js";
