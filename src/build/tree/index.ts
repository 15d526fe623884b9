export { type ContextNode, ContextTree } from "./context-tree.js";
export { documentTree } from "./document-tree.js";
export { FileDigests } from "./file-digests.js";
export { findSources, type Match } from "./glob.js";
export { type LayerNode, LayerTree } from "./layer-tree.js";
export { type Resolved, resolveIn } from "./resolve.js";
export { type SourceTree, type TreeNode, toBytes, toText } from "./source-tree.js";
export { treeDigest } from "./tree-digest.js";
