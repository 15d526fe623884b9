import type { Inode, Leaf, Node } from "../erofs/index.js";
import { Malformed } from "../malformed.js";
import type { LayerDirectory } from "./tree.js";

/** Before the name of what a layer removes. */
export const WHITEOUT_PREFIX = ".wh.";
const PREFIX = WHITEOUT_PREFIX;
/** AUFS's own bookkeeping; only the opaque mark means something in an image. */
const META_PREFIX = ".wh..wh.";
/** Is in a directory that hides the one below. */
export const OPAQUE_NAME = ".wh..wh..opq";
const OPAQUE = OPAQUE_NAME;

const OPAQUE_XATTR = "trusted.overlay.opaque";

/** What a name says about the layers below; `undefined` for an ordinary name. */
export type Whiteout = { kind: "remove"; name: string } | { kind: "opaque" };

/** Whether a stored inode takes away what is below it. */
export function isWhiteout({ type, major, minor }: Inode): boolean {
  return type === "char" && major === 0 && minor === 0;
}

/** Whether a stored directory hides the one below. */
export function isOpaque({ attributes }: Inode): boolean {
  return attributes.xattrs?.get(OPAQUE_XATTR)?.toString("latin1") === "y";
}

/** Reads an OCI whiteout name (image-spec, "layer.md"). */
export function parseWhiteout(name: string): Whiteout | undefined {
  if (name === OPAQUE) return { kind: "opaque" };
  if (!name.startsWith(PREFIX) || name.startsWith(META_PREFIX)) return undefined;
  const target = name.slice(PREFIX.length);
  if (target === "" || target === "." || target === "..") throw new Malformed("it is a whiteout of no name");
  return { kind: "remove", name: target };
}

/**
 * Turns what the layer says of those below into what overlayfs reads: whiteouts become devices 0:0, opaque directories get
 * their mark, and AUFS's bookkeeping goes. An entry of the layer wins over a whiteout of its name, in whatever order they came;
 * if it is a directory, it hides the one below.
 *
 * @param whiteout Gives the inode that all whiteouts share, once per name.
 * @param unlink Is told of each inode that lost a name.
 */
export function applyWhiteouts(root: LayerDirectory, whiteout: () => Leaf, unlink: (leaf: Leaf) => void): void {
  const open: LayerDirectory[] = [root];
  for (let directory = open.pop(); directory; directory = open.pop()) {
    dropMetadata(directory, unlink);
    for (const name of directory.whiteouts ?? []) {
      const child = directory.children.get(name) as LayerDirectory | Leaf | undefined;
      if (!child) directory.children.set(name, whiteout());
      else if (child.type === "directory") child.opaque = true;
    }
    if (directory.opaque) markOpaque(directory);
    for (const child of directory.children.values()) {
      if (child.type === "directory") open.push(child as LayerDirectory);
    }
  }
}

function dropMetadata(directory: LayerDirectory, unlink: (leaf: Leaf) => void): void {
  for (const [name, node] of directory.children) {
    if (!name.startsWith(META_PREFIX)) continue;
    directory.children.delete(name);
    forEachLeaf(node, unlink);
  }
}

function forEachLeaf(node: Node, visit: (leaf: Leaf) => void): void {
  const open: Node[] = [node];
  for (let next = open.pop(); next; next = open.pop()) {
    if (next.type === "directory") open.push(...next.children.values());
    else visit(next);
  }
}

function markOpaque(directory: LayerDirectory): void {
  const xattrs = new Map(directory.attributes.xattrs);
  xattrs.set(OPAQUE_XATTR, Buffer.from("y"));
  directory.attributes = { ...directory.attributes, xattrs };
}
