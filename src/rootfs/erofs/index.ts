export type { FileContent } from "./file-content.js";
export { type Attributes, BLOCK_SIZE, type FileType, readSuperblock } from "./format.js";
export type { Directory, Leaf, Node } from "./node.js";
export { ErofsReader, type Inode } from "./reader.js";
export { type VerifyOptions, verifyImage } from "./verify.js";
export { ErofsWriter } from "./writer.js";
export { checkXattrs, isStorableXattr } from "./xattr.js";
