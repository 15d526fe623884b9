export { type VerifyOptions, verifyImage } from "./erofs/index.js";
export { type ConvertedLayer, type ConvertOptions, convertLayer, decompress, type LayerSource } from "./layer/index.js";
export {
  type EnsuredLayer,
  type EnsureOptions,
  type LayerDescription,
  LayerStore,
  type StoredLayer,
} from "./layer-store.js";
