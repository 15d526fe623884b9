import type { FileType } from "../../rootfs/index.js";

/** A file that can be copied. Names and targets have one character per byte (latin1), as layers have them. */
export interface TreeNode {
  type: FileType | "socket";
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  size: number;
  major: number;
  minor: number;
  xattrs: ReadonlyMap<string, Buffer> | undefined;
  /** The same for all names of one file; absent when it has but one. */
  identity: string | undefined;
}

/** Where files are copied from: the context of a build, or the layers of a stage or an image. */
export interface SourceTree<Node extends TreeNode = TreeNode> extends Disposable {
  /** For messages, such as "the build context". */
  readonly name: string;
  /** Whether files keep their owner when they are copied; those of a context come to belong to root. */
  readonly keepsOwners: boolean;
  root(): Promise<Node>;
  child(directory: Node, name: string): Promise<Node | undefined>;
  names(directory: Node): Promise<string[]>;
  /** What a symbolic link holds. */
  target(link: Node): Promise<string>;
  /** Exactly `size` bytes. */
  content(file: Node): AsyncIterable<Buffer>;
  /** A digest of a regular file's content. */
  digest(file: Node): Promise<string>;
}

/** Text as a user writes it, in the form that names have here. */
export function toBytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}

/** A name for people. */
export function toText(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString();
}
