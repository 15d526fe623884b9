import { type BigIntStats, fstatSync, lstatSync, realpathSync, statSync } from "node:fs";
import { type Anchors, DescriptorAnchors, PathAnchors, pathOf } from "./anchors.js";
import { followLink } from "./follow.js";
import { type FileNode, isSame, NodeTable } from "./node-table.js";
import type { SymlinkPolicy } from "./options.js";
import { Refusal } from "./wire.js";

/** What one mount may take of the host. */
export interface Limits {
  /** Files that the guest's kernel may refer to at a time. */
  nodes: number;
  /** Files and folders that the guest may have open. */
  handles: number;
  /** Folders that are kept open to find others. */
  folders: number;
}

/** What was found by a name. */
export interface Found {
  node: FileNode;
  stats: BigIntStats;
}

/** A folder of the host and everything in it, and nothing else. */
export class FileTree implements Disposable {
  readonly nodes: NodeTable;
  readonly anchors: Anchors;
  readonly #symlinks: SymlinkPolicy;
  readonly #dev: bigint;
  /** Numbers for the other file systems that are mounted in the folder. */
  readonly #devices = new Map<bigint, bigint>();

  constructor(folder: string, symlinks: SymlinkPolicy, limits: Limits, anchors?: Anchors) {
    const root = realpathSync(folder);
    const stats = statSync(root, { bigint: true });
    if (!stats.isDirectory()) throw new Refusal("ENOTDIR");
    this.root = root;
    this.#symlinks = symlinks;
    this.#dev = stats.dev;
    const descriptors = process.platform === "linux";
    this.anchors = anchors ?? (descriptors ? new DescriptorAnchors(root, limits.folders) : new PathAnchors(root));
    this.nodes = new NodeTable(stats, limits.nodes, (node) => this.anchors.forget(node));
  }

  /** The folder's own path, free of links. */
  readonly root: string;

  /** Where a name in a folder is, for a call that does not follow a link there. Good for the current request only. */
  at(folder: FileNode, name: string): string | Buffer {
    return pathOf(this.anchors.inside(folder), name);
  }

  /** Where a node is, in the same sense; the root by its own ".". */
  place(node: FileNode): string | Buffer {
    return node.parent ? this.at(node.parent, node.name) : this.at(node, ".");
  }

  /** What is at a name, as a node; undefined when nothing is. */
  lookup(folder: FileNode, name: string): Found | undefined {
    const stats = lstatSync(this.at(folder, name), { bigint: true, throwIfNoEntry: false });
    if (!stats) return undefined;
    if (stats.isSymbolicLink() && this.#symlinks === "follow") return followLink(this, folder, name);
    return { node: this.nodes.obtain(folder, name, stats), stats };
  }

  /** Attributes of a node: of the file at its place, or of one that is open and has no place any more. */
  stat(node: FileNode): BigIntStats {
    const stats = lstatSync(this.place(node), { bigint: true, throwIfNoEntry: false });
    if (stats && isSame(node, stats)) return stats;
    for (const { fd } of node.open ?? []) return fstatSync(fd, { bigint: true });
    throw new Refusal("ESTALE");
  }

  /** The inode number that the guest sees. Where several file systems meet, their numbers must not. */
  inode(stats: BigIntStats): bigint {
    if (stats.dev === this.#dev) return stats.ino;
    let device = this.#devices.get(stats.dev);
    if (device === undefined) {
      device = BigInt(this.#devices.size + 1);
      this.#devices.set(stats.dev, device);
    }
    return BigInt.asUintN(64, stats.ino ^ (device << 48n));
  }

  [Symbol.dispose](): void {
    this.anchors[Symbol.dispose]();
  }
}
