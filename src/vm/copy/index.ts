export { type CopyInOptions, type CopyProgress, copyIn } from "./copy-in.js";
export { copyInArchive } from "./copy-in-archive.js";
export { type CopyOutOptions, copyOut, copyOutArchive } from "./copy-out.js";
export { extractArchive } from "./extract-archive.js";
export type { Extracted, ExtractOptions, SkipReason } from "./extractor.js";
