export {
  type Attributes,
  ErofsReader,
  type FileType,
  type Inode,
  type VerifyOptions,
  verifyImage,
} from "./erofs/index.js";
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
  layerArchive,
  unpackLimit,
  writeArchiveImage,
} from "./layer/index.js";
export { LayerStack, type StackNode } from "./layer-stack.js";
export {
  type AddedLayer,
  type EnsuredLayer,
  type EnsureOptions,
  type LayerDescription,
  LayerStore,
  type StoredLayer,
} from "./layer-store.js";
export { Malformed } from "./malformed.js";
export {
  ARCHIVE_END,
  BLANK_ENTRY,
  encodeEntry,
  padding,
  type TarEntry,
  type TarHandler,
  TarReader,
} from "./tar/index.js";
