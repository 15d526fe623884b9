export { type HalfMade, sweepHalfMade, trackHalfMade } from "./half-made.js";
export { type Home, home } from "./home.js";
export { lease, lockStore, readLeases, sweepLeases } from "./lease.js";
export { acquireLock, tryAcquireLock } from "./lock.js";
export { explainingNoSpace } from "./no-space.js";
export { isEntry, produceOnce, replace, sweepPartials } from "./place.js";
export { listRoots, rememberRoot } from "./roots.js";
export { openScratch, type Scratch, sweepScratch } from "./scratch.js";
