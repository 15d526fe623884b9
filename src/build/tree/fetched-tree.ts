import type { PathPatterns } from "../../dockerfile/index.js";
import { type LayerNode, LayerTree } from "./layer-tree.js";
import { type SourceTree, toText } from "./source-tree.js";

interface FetchedNode extends LayerNode {
  /** From the root, one character per byte; empty for that itself. */
  path: string;
}

/** A context that was fetched, in the form of a layer: like a folder of this machine, its files have no owners, and some may be left out. */
export class FetchedTree implements SourceTree<FetchedNode> {
  readonly name: string;
  readonly keepsOwners = false;
  readonly #tree: LayerTree;
  readonly #ignore: PathPatterns | undefined;

  constructor(name: string, paths: readonly string[], ignore?: PathPatterns) {
    this.name = name;
    this.#tree = new LayerTree(name, paths);
    this.#ignore = ignore;
  }

  [Symbol.dispose](): void {
    this.#tree[Symbol.dispose]();
  }

  async root(): Promise<FetchedNode> {
    return { ...(await this.#tree.root()), path: "" };
  }

  async child(directory: FetchedNode, name: string): Promise<FetchedNode | undefined> {
    const found = await this.#tree.child(directory, name);
    if (!found) return undefined;
    const node = { ...found, xattrs: undefined, path: directory.path === "" ? name : `${directory.path}/${name}` };
    return (await this.#isThere(node)) ? node : undefined;
  }

  async names(directory: FetchedNode): Promise<string[]> {
    const names = await this.#tree.names(directory);
    if (!this.#ignore) return names;
    const there = await Promise.all(names.map(async (name) => ((await this.child(directory, name)) ? [name] : [])));
    return there.flat();
  }

  async target(link: FetchedNode): Promise<string> {
    return await this.#tree.target(link);
  }

  content(file: FetchedNode): AsyncIterable<Buffer> {
    return this.#tree.content(file);
  }

  async digest(file: FetchedNode): Promise<string> {
    return await this.#tree.digest(file);
  }

  /** A folder that is excluded is there all the same when something in it is not. */
  async #isThere(node: FetchedNode): Promise<boolean> {
    const path = toText(node.path);
    if (!this.#ignore?.matches(path)) return true;
    if (node.type !== "directory" || !this.#ignore.mayHaveExceptionsBelow(path)) return false;
    return (await this.names(node)).length > 0;
  }
}
