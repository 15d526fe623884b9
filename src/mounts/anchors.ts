import { closeSync, constants, fstatSync, lstatSync, openSync } from "node:fs";
import { type FileNode, isSame } from "./node-table.js";
import { Refusal } from "./wire.js";

/** Folders deeper than this are not served: a guest may nest them without end. */
const DEPTH_MAX = 512;
/** Not in Node's constants; the same on every architecture that guests and hosts have. */
const O_PATH = 0o10000000;

/**
 * How a folder of the tree is named to the host's kernel. What is appended to the text is one name, so that nothing but the
 * folder's own entries can be reached, as long as the last component is not followed.
 */
export interface Anchors extends Disposable {
  /** The text before a name in the folder: good until {@link trim}. @throws Refusal ESTALE when the folder is not there any more */
  inside(folder: FileNode): string;
  /** To be called between requests: gives back what need not be kept. */
  trim(): void;
  forget(node: FileNode): void;
}

/** The nodes from the root (left out) down to `folder`, up to the nearest one for which `known` holds (left out, too). */
function chainTo(folder: FileNode, known: (node: FileNode) => boolean): { from: FileNode; chain: FileNode[] } {
  const chain: FileNode[] = [];
  let from = folder;
  while (from.parent && !known(from)) {
    // A stale hint can even point in a circle.
    if (chain.push(from) > DEPTH_MAX) throw new Refusal("ENAMETOOLONG");
    from = from.parent;
  }
  return { from, chain: chain.reverse() };
}

/**
 * Linux: each folder is held by a descriptor that was opened from its parent's, by name, without following a link. Whatever is
 * renamed meanwhile, `/proc/self/fd/N/name` is an entry of that very folder.
 */
export class DescriptorAnchors implements Anchors {
  readonly #root: number;
  readonly #held = new Map<FileNode, number>();
  readonly #limit: number;

  /** `limit` folders besides the root are kept open. */
  constructor(root: string, limit: number) {
    this.#root = openSync(root, O_PATH | constants.O_DIRECTORY);
    this.#limit = limit;
  }

  inside(folder: FileNode): string {
    if (folder.kind !== "directory") throw new Refusal("ENOTDIR");
    return `/proc/self/fd/${this.#descriptor(folder)}/`;
  }

  trim(): void {
    for (const [node, descriptor] of this.#held) {
      if (this.#held.size <= this.#limit) return;
      this.#held.delete(node);
      closeSync(descriptor);
    }
  }

  forget(node: FileNode): void {
    const descriptor = this.#held.get(node);
    if (descriptor === undefined) return;
    this.#held.delete(node);
    closeSync(descriptor);
  }

  [Symbol.dispose](): void {
    for (const descriptor of [...this.#held.values(), this.#root]) closeSync(descriptor);
    this.#held.clear();
  }

  #descriptor(folder: FileNode): number {
    const held = this.#held.get(folder);
    if (held !== undefined) {
      // The most recently used one is the last to be given back.
      this.#held.delete(folder);
      this.#held.set(folder, held);
      return held;
    }
    const { from, chain } = chainTo(folder, (node) => this.#held.has(node));
    let descriptor = this.#held.get(from) ?? this.#root;
    for (const node of chain) {
      descriptor = this.#open(descriptor, node);
      this.#held.set(node, descriptor);
    }
    return descriptor;
  }

  #open(parent: number, node: FileNode): number {
    const path = pathOf(`/proc/self/fd/${parent}/`, node.name);
    const descriptor = openPinned(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    if (isSame(node, fstatSync(descriptor, { bigint: true }))) return descriptor;
    closeSync(descriptor);
    throw new Refusal("ESTALE");
  }
}

/**
 * Elsewhere: by path, after a look that each folder on the way is still the one it was. Between that look and the use somebody on
 * the host (the guest's own requests are served one after the other) could put a link in a folder's place.
 */
export class PathAnchors implements Anchors {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  inside(folder: FileNode): string {
    if (folder.kind !== "directory") throw new Refusal("ENOTDIR");
    let path = `${this.#root}/`;
    for (const node of chainTo(folder, () => false).chain) {
      const at = pathOf(path, node.name);
      const stats = lstatSync(at, { bigint: true, throwIfNoEntry: false });
      if (!stats?.isDirectory() || !isSame(node, stats)) throw new Refusal("ESTALE");
      path = `${path}${node.name}/`;
    }
    return path;
  }

  trim(): void {}
  forget(): void {}
  [Symbol.dispose](): void {}
}

/** A path for Node: names are bytes in Latin-1 and need not be UTF-8. */
export function pathOf(folder: string, name: string): string | Buffer {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what is ASCII is the same in every encoding
  return /^[\x00-\x7f]*$/.test(name) && /^[\x00-\x7f]*$/.test(folder)
    ? folder + name
    : Buffer.from(folder + name, "latin1");
}

/** Opens what is to be the file of a node; that it is not there (any more) means that the node is out of date. */
export function openPinned(path: string | Buffer, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ELOOP" || code === "ENOTDIR") throw new Refusal("ESTALE");
    throw error;
  }
}
