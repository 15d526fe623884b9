import type { Attributes, Directory, Leaf, Node } from "../erofs/index.js";
import { Malformed, printable } from "../malformed.js";
import { splitPath } from "./path.js";

/** Directories that no entry describes are as Docker makes them. */
const DEFAULT_ATTRIBUTES: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: undefined,
};
/** As many as Linux follows. */
const MAX_SYMLINKS = 40;

/** Bounds on what a layer may make this process keep in memory. */
export interface TreeLimits {
  /** Names in all. */
  nodes: number;
  /** Bytes of names, link targets and directories' attributes. */
  bytes: number;
}

export const DEFAULT_LIMITS: TreeLimits = { nodes: 4_000_000, bytes: 512 * 1024 * 1024 };

/** What overlayfs has to know of a directory beyond its entries. */
export interface LayerDirectory extends Directory {
  readonly parent: LayerDirectory | undefined;
  /** Names that the layers below have and this one takes away. */
  whiteouts?: Set<string>;
  /** Nothing of the layers below shows in it. */
  opaque?: boolean;
}

/** A place in the tree: a name in a directory that exists. The root has no name. */
export interface Place {
  directory: LayerDirectory;
  name: string;
}

/**
 * The names of one layer. Directories appear as they are needed. A path whose parent is a symbolic link of the same layer
 * leads where the link leads within the layer's root, as if that were "/": nothing leaves it.
 */
export class LayerTree {
  readonly root: LayerDirectory = newDirectory(undefined);
  readonly #limits: TreeLimits;
  readonly #onUnlink: (leaf: Leaf) => void;
  #nodes = 0;
  #bytes = 0;
  /** The parent of the last entry, for most entries have the same one as the entry before. */
  #lastParent: { path: string; directory: LayerDirectory } | undefined;

  constructor(onUnlink: (leaf: Leaf) => void, limits: TreeLimits = DEFAULT_LIMITS) {
    this.#onUnlink = onUnlink;
    this.#limits = limits;
  }

  /** Finds the directory of `path`, making what is missing of it; `undefined` when the path is the root's. */
  locate(path: string): Place | undefined {
    const slash = path.lastIndexOf("/");
    const parentPath = path.slice(0, slash + 1);
    const name = path.slice(slash + 1);
    if (this.#lastParent?.path === parentPath && isPlainName(name)) {
      return { directory: this.#lastParent.directory, name };
    }
    const components = splitPath(path);
    const last = components.pop();
    if (last === undefined) return undefined;
    const directory = this.#walk(components);
    if (isPlainName(name)) this.#lastParent = { path: parentPath, directory };
    return { directory, name: last };
  }

  /** The directory at a place, with these attributes; one that is there keeps its entries. */
  putDirectory(place: Place | undefined, attributes: Attributes): void {
    this.#account(0, xattrBytes(attributes));
    if (!place) {
      this.root.attributes = attributes;
      return;
    }
    const existing = place.directory.children.get(place.name);
    if (existing?.type === "directory") existing.attributes = attributes;
    else this.#put(place, newDirectory(place.directory, attributes));
  }

  /** Another node at a place. What was there is gone, with everything below it. */
  putLeaf({ directory, name }: Place, leaf: Leaf): void {
    if (leaf.target !== undefined) this.#account(0, leaf.target.length);
    this.#put({ directory, name }, leaf);
  }

  /** What a hard link leads to: any node of this layer that is not a directory. */
  hardLinkTarget(path: string): Leaf {
    const components = splitPath(path);
    const name = components.pop();
    const directory = this.#walk(components, "find");
    const node = name === undefined ? this.root : directory?.children.get(name);
    const target = printable(path);
    if (!node) throw new Malformed(`it is a hard link to "${target}", which the layer does not have before it`);
    if (node.type === "directory") throw new Malformed(`it is a hard link to "${target}", which is a directory`);
    return node;
  }

  /** Notes that `name` of the layers below is gone. */
  whiteOut(directory: LayerDirectory, name: string): void {
    directory.whiteouts ??= new Set();
    if (!directory.whiteouts.has(name)) this.#account(1, name.length);
    directory.whiteouts.add(name);
  }

  #put({ directory, name }: Place, node: Node): void {
    const existing = directory.children.get(name);
    if (existing) this.#drop(existing);
    else this.#account(1, name.length);
    directory.children.set(name, node);
  }

  #drop(node: Node): void {
    this.#lastParent = undefined;
    const open: Node[] = [node];
    for (let next = open.pop(); next; next = open.pop()) {
      if (next.type === "directory") for (const child of next.children.values()) open.push(child);
      else this.#onUnlink(next);
    }
  }

  #walk(components: readonly string[], missing?: "make"): LayerDirectory;
  #walk(components: readonly string[], missing: "find"): LayerDirectory | undefined;
  #walk(components: readonly string[], missing: "make" | "find" = "make"): LayerDirectory | undefined {
    const left = [...components].reverse();
    let links = 0;
    let directory = this.root;
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      const child = this.#child(directory, name, missing);
      if (!child) return undefined;
      if (child.type === "directory") {
        directory = child as LayerDirectory;
      } else if (child.target === undefined) {
        throw new Malformed(`its path leads through "${printable(name)}", which is not a directory`);
      } else {
        if (++links > MAX_SYMLINKS) throw new Malformed("its path leads through too many symbolic links");
        if (child.target.startsWith("/")) directory = this.root;
        left.push(...targetComponents(child.target).reverse());
      }
    }
    return directory;
  }

  /** The root is its own parent, so that ".." in a link's target never leaves it. */
  #child(directory: LayerDirectory, name: string, missing: "make" | "find"): Node | undefined {
    if (name === "..") return directory.parent ?? directory;
    const child = directory.children.get(name);
    return child ?? (missing === "make" ? this.#make(directory, name) : undefined);
  }

  #make(parent: LayerDirectory, name: string): LayerDirectory {
    const directory = newDirectory(parent);
    this.#put({ directory: parent, name }, directory);
    return directory;
  }

  #account(nodes: number, bytes: number): void {
    this.#nodes += nodes;
    this.#bytes += bytes;
    if (this.#nodes > this.#limits.nodes) throw new Malformed(`the layer has more than ${this.#limits.nodes} entries`);
    if (this.#bytes > this.#limits.bytes) {
      throw new Malformed(`the layer has more than ${this.#limits.bytes} bytes of names and attributes`);
    }
  }
}

function newDirectory(parent: LayerDirectory | undefined, attributes = DEFAULT_ATTRIBUTES): LayerDirectory {
  return { type: "directory", attributes, children: new Map(), parent };
}

/** Whether the last part of a path is a name that {@link splitPath} would leave as it is. */
function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && name.length <= 255;
}

/** Unlike an entry's path, a link's target may have "..". */
function targetComponents(target: string): string[] {
  return target.split("/").filter((part) => part !== "" && part !== ".");
}

function xattrBytes(attributes: Attributes): number {
  let bytes = 0;
  for (const [name, value] of attributes.xattrs ?? []) bytes += name.length + value.length + 64;
  return bytes;
}
