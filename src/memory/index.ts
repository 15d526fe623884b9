export { clone } from "./clone.js";
export { Delta } from "./delta.js";
export { procfs } from "./procfs.js";
export type { MemoryStrategy, WorkerRam } from "./strategy.js";
export { sweepRam } from "./sweep.js";
