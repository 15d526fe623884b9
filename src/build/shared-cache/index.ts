export { checkCacheTarget, exportCache, type StepRecords } from "./export-cache.js";
export { ImportedCache } from "./imported-cache.js";
export { type CacheSource, type CacheTarget, parseCacheSource, parseCacheTarget } from "./place.js";
