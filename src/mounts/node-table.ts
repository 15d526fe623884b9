import type { BigIntStats } from "node:fs";
import type { OpenFile } from "./handles.js";
import { Refusal, ROOT_ID } from "./wire.js";

export type Kind = "directory" | "file" | "link" | "other";

/** A file as the guest's kernel knows it: by a number, for as long as the kernel wants. */
export interface FileNode {
  id: number;
  key: string;
  dev: bigint;
  ino: bigint;
  birth: bigint;
  kind: Kind;
  /** Where it was last seen; undefined for the root. Only a hint: whoever opens it looks whether it is still the same. */
  parent: FileNode | undefined;
  name: string;
  /** How many links of the host were followed to get here: a loop of links ends somewhere. */
  followed: number;
  /** Distinguishes the folders seen through a followed link from the same ones in their own place. */
  alias: string;
  /** References of the kernel, of nodes in this folder, and files that are open. */
  lookups: number;
  children: number;
  open: Set<OpenFile> | undefined;
  /** When its content had last changed as it was opened: what the guest keeps of it is of then. */
  openedAs: bigint | undefined;
}

/** The nodes that the guest's kernel refers to. There are at most `limit`, whatever a guest sends. */
export class NodeTable {
  readonly root: FileNode;
  readonly #byId = new Map<number, FileNode>();
  readonly #byKey = new Map<string, FileNode>();
  readonly #limit: number;
  readonly #dropped: (node: FileNode) => void;
  #nextId = ROOT_ID + 1;

  constructor(rootStats: BigIntStats, limit: number, dropped: (node: FileNode) => void) {
    this.#limit = limit;
    this.#dropped = dropped;
    this.root = newNode(ROOT_ID, keyOf(rootStats, ""), rootStats);
    this.#byId.set(ROOT_ID, this.root);
    this.#byKey.set(this.root.key, this.root);
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: number): FileNode {
    const node = this.#byId.get(id);
    if (!node) throw new Refusal("ESTALE");
    return node;
  }

  /** The node of what was found at `name` in `parent`, made when there is none. */
  obtain(
    parent: FileNode,
    name: string,
    stats: BigIntStats,
    alias = parent.alias,
    followed = parent.followed,
  ): FileNode {
    const key = keyOf(stats, stats.isDirectory() ? alias : "");
    const known = this.#byKey.get(key);
    // A number of the file system that was given to a new file is another file.
    if (known && known.birth === stats.birthtimeNs) {
      this.move(known, parent, name);
      return known;
    }
    if (this.#byId.size >= this.#limit) throw new Refusal("ENFILE");
    const node = newNode(this.#nextId++, key, stats);
    Object.assign(node, { parent, name, alias, followed });
    parent.children++;
    this.#byId.set(node.id, node);
    this.#byKey.set(key, node);
    return node;
  }

  move(node: FileNode, parent: FileNode, name: string): void {
    if (node === this.root) return;
    node.name = name;
    if (node.parent === parent) return;
    const former = node.parent;
    node.parent = parent;
    parent.children++;
    if (former) this.#released(former);
  }

  /** The node at `name` in `parent`, if it is known to be there. */
  find(parent: FileNode, name: string, stats: BigIntStats): FileNode | undefined {
    const node = this.#byKey.get(keyOf(stats, stats.isDirectory() ? parent.alias : ""));
    return node?.parent === parent && node.name === name ? node : undefined;
  }

  forget(id: number, lookups: number): void {
    const node = this.#byId.get(id);
    if (!node) return;
    node.lookups = Math.max(0, node.lookups - lookups);
    this.drop(node);
  }

  /** Removes a node that nobody refers to, and the folders above it that were kept for its sake. */
  drop(node: FileNode): void {
    let each: FileNode | undefined = node;
    while (each?.parent && each.lookups === 0 && each.children === 0 && !each.open?.size) {
      if (!this.#byId.delete(each.id)) return;
      if (this.#byKey.get(each.key) === each) this.#byKey.delete(each.key);
      this.#dropped(each);
      each = each.parent;
      each.children--;
    }
  }

  #released(parent: FileNode): void {
    parent.children--;
    this.drop(parent);
  }
}

/** Whether these are the attributes of the very file that the node stands for. */
export function isSame(node: FileNode, stats: BigIntStats): boolean {
  return node.ino === stats.ino && node.dev === stats.dev && node.birth === stats.birthtimeNs;
}

function keyOf(stats: BigIntStats, alias: string): string {
  return `${stats.dev}:${stats.ino}${alias}`;
}

function newNode(id: number, key: string, stats: BigIntStats): FileNode {
  const { dev, ino, birthtimeNs: birth } = stats;
  const place = { parent: undefined, name: "", followed: 0, alias: "" };
  return {
    id,
    key,
    dev,
    ino,
    birth,
    kind: kindOf(stats),
    ...place,
    lookups: 0,
    children: 0,
    open: undefined,
    openedAs: undefined,
  };
}

function kindOf(stats: BigIntStats): Kind {
  if (stats.isDirectory()) return "directory";
  if (stats.isFile()) return "file";
  return stats.isSymbolicLink() ? "link" : "other";
}
