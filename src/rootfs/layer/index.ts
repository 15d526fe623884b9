export { archiveDigest, layerArchive } from "./archive.js";
export { writeArchiveImage } from "./archive-image.js";
export type { LayerSource } from "./blob-source.js";
export { type ConvertedLayer, type ConvertOptions, convertLayer, EMPTY_LAYER } from "./convert.js";
export { decompress } from "./decompress.js";
export { parseDigest } from "./digest.js";
export { unpackLimit } from "./unpack-limit.js";
export { isOpaque, isWhiteout } from "./whiteout.js";
export { writeLayer } from "./write.js";
