import type { Attributes, FileType } from "./format.js";

/** A name's inode, other than a directory: it is in the image already. Several names may have the same one. */
export interface Leaf {
  readonly type: Exclude<FileType, "directory">;
  readonly nid: number;
  /** Names that lead to it. */
  links: number;
  /** A symbolic link's target, one character per byte. */
  readonly target?: string;
}

/** A directory; it is written at the end, when its names are known. */
export interface Directory {
  readonly type: "directory";
  attributes: Attributes;
  /** By name, one character per byte. */
  readonly children: Map<string, Node>;
  readonly parent: Directory | undefined;
}

export type Node = Leaf | Directory;
