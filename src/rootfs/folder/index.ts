export type { Exclude } from "./exclude.js";
export {
  CONTENT_NAME,
  type FolderFigures,
  type FolderImage,
  type FolderImageOptions,
  writeFolderImage,
} from "./folder-image.js";
