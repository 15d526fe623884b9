export { clone, RAM_COPY } from "./clone.js";
export { copySparse } from "./copy-sparse.js";
export { Delta } from "./delta.js";
export { readDelta } from "./early-delta.js";
export { procfs } from "./procfs.js";
export type { MemoryStrategy, WorkerRam } from "./strategy.js";
export { type MemoryUsage, readMemoryUsage } from "./usage.js";
export { writeFully } from "./write-fully.js";
