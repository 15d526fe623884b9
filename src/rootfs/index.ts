export { type VerifyOptions, verifyImage } from "./erofs/index.js";
export {
  CONTENT_NAME,
  type Exclude,
  type FolderFigures,
  type FolderImage,
  type FolderImageOptions,
  writeFolderImage,
} from "./folder/index.js";
export {
  type ConvertedLayer,
  type ConvertOptions,
  convertLayer,
  decompress,
  type LayerSource,
  writeArchiveImage,
} from "./layer/index.js";
export {
  type EnsuredLayer,
  type EnsureOptions,
  type LayerDescription,
  LayerStore,
  type StoredLayer,
} from "./layer-store.js";
export { Malformed } from "./malformed.js";
export { type TarEntry, type TarHandler, TarReader } from "./tar/index.js";
