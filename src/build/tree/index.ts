export { type ContextNode, ContextTree } from "./context-tree.js";
export { FileDigests } from "./file-digests.js";
export { documentTree, type FilesTree, filesTree, type SingleFile } from "./files-tree.js";
export { GitTree } from "./git-tree.js";
export { findSources, findWithParents, type Match, type Way } from "./glob.js";
export { type LayerNode, LayerTree } from "./layer-tree.js";
export { type Resolved, resolveIn } from "./resolve.js";
export { type SourceTree, type TreeNode, toBytes, toText } from "./source-tree.js";
export { type Excludes, treeDigest } from "./tree-digest.js";
