export type { Latency } from "./demand.js";
export type { PoolOptions } from "./options.js";
export { type AcquireOptions, IDLE_LIMIT_MS, type Lease, ResourcePool } from "./resource-pool.js";
export type { PoolSource } from "./source.js";
export type { PoolStats } from "./stats.js";
