export { ARCHIVE_END, encodeEntry, padding } from "./encode.js";
export { BLANK_ENTRY, type TarEntry } from "./entry.js";
export { type TarHandler, TarReader } from "./reader.js";
