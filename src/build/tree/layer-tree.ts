import { createHash } from "node:crypto";
import { LayerStack, type StackNode } from "../../rootfs/index.js";
import type { SourceTree, TreeNode } from "./source-tree.js";

/** A file of a stack of layers. */
export interface LayerNode extends TreeNode {
  stack: StackNode;
}

/** The files of a stage or an image. */
export class LayerTree implements SourceTree<LayerNode> {
  readonly name: string;
  readonly keepsOwners = true;
  readonly stack: LayerStack;

  /** @param paths of the layers' EROFS images, from the lowest to the highest */
  constructor(name: string, paths: readonly string[]) {
    this.name = name;
    this.stack = new LayerStack(paths);
  }

  [Symbol.dispose](): void {
    this.stack[Symbol.dispose]();
  }

  async root(): Promise<LayerNode> {
    return this.stack.root ? nodeOf(this.stack.root) : EMPTY_ROOT;
  }

  async child(directory: LayerNode, name: string): Promise<LayerNode | undefined> {
    const found = this.stack.child(directory.stack, name);
    return found && nodeOf(found);
  }

  async names(directory: LayerNode): Promise<string[]> {
    return this.stack.names(directory.stack);
  }

  async target(link: LayerNode): Promise<string> {
    return this.stack.target(link.stack);
  }

  content(file: LayerNode): AsyncIterable<Buffer> {
    return this.stack.content(file.stack);
  }

  async digest(file: LayerNode): Promise<string> {
    const hash = createHash("sha256");
    for await (const chunk of this.content(file)) hash.update(chunk);
    return hash.digest("hex");
  }
}

/** What an image without layers has. */
const EMPTY_ROOT = {
  type: "directory",
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  size: 0,
  major: 0,
  minor: 0,
  xattrs: undefined,
  identity: undefined,
  stack: { merged: [] } as unknown as StackNode,
} as const satisfies LayerNode;

function nodeOf(stack: StackNode): LayerNode {
  const { inode, reader } = stack;
  const { attributes, type, size, major, minor, links, nid } = inode;
  const own = [...(attributes.xattrs ?? [])].filter(([key]) => !key.startsWith("trusted.overlay."));
  return {
    type,
    mode: attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    mtimeSeconds: attributes.mtimeSeconds,
    size,
    major,
    minor,
    xattrs: own.length === 0 ? undefined : new Map(own),
    identity: links > 1 && type !== "directory" ? `${reader.path} ${nid}` : undefined,
    stack,
  };
}
