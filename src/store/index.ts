export { type Home, home } from "./home.js";
export { acquireLock, tryAcquireLock } from "./lock.js";
export { isEntry, produceOnce, replace, sweepPartials } from "./place.js";
export { openScratch, type Scratch, sweepScratch } from "./scratch.js";
