export type { TarEntry } from "./entry.js";
export { type TarHandler, TarReader } from "./reader.js";
