export { MAX_PATH, type TarEntry, type TarEntryType } from "./entry.js";
export { type IndexedMember, indexTar } from "./index-tar.js";
export { type TarHandler, TarReader } from "./reader.js";
