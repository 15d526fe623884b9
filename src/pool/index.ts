export type { Latency } from "./demand.js";
export type { AcquireOptions, Lease } from "./lease.js";
export type { PoolOptions } from "./options.js";
export { ResourcePool } from "./resource-pool.js";
export type { PoolSource } from "./source.js";
export type { PoolStats } from "./stats.js";
