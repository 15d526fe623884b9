import { createHash } from "node:crypto";
import type { Match } from "./glob.js";
import { type SourceTree, type TreeNode, toText } from "./source-tree.js";

/** How many files of a folder are looked up at a time: one after the other takes three times as long. */
const AT_ONCE = 64;

/** Whether a path below what is copied is left out. */
export type Excludes = (path: string) => boolean;

/**
 * A digest of files with all that is copied of them. Times are no part of it, as in docker's builds: a fresh checkout of the same
 * files is the same.
 */
export async function treeDigest<Node extends TreeNode>(
  tree: SourceTree<Node>,
  matches: readonly Match<Node>[],
  keepsOwners: boolean,
  excludes: Excludes = () => false,
): Promise<string> {
  const digester = new Digester(tree, keepsOwners, excludes);
  for (const match of matches) await digester.addMatch(match);
  return digester.value();
}

class Digester<Node extends TreeNode> {
  readonly #tree: SourceTree<Node>;
  readonly #keepsOwners: boolean;
  readonly #excludes: Excludes;
  readonly #hash = createHash("sha256");
  /** Which names are of one file; inode numbers themselves mean nothing. */
  readonly #identities = new Map<string, number>();

  constructor(tree: SourceTree<Node>, keepsOwners: boolean, excludes: Excludes) {
    this.#tree = tree;
    this.#keepsOwners = keepsOwners;
    this.#excludes = excludes;
  }

  value(): string {
    return this.#hash.digest("hex");
  }

  async addMatch({ name, node, parents }: Match<Node>): Promise<void> {
    const isFolder = node.type === "directory";
    if (!parents) return this.#add(isFolder ? "" : name, node);
    const path = parents.map((each) => each.name).join("/");
    for (const each of parents) await this.#addFacts(each.name, each.node);
    await this.#add(path === "" ? name : `${path}/${name}`, node);
  }

  async #add(path: string, node: Node): Promise<void> {
    if (path !== "" && this.#excludes(toText(path))) return;
    await this.#addFacts(path, node);
    if (node.type !== "directory") return;
    const names = await this.#tree.names(node);
    for (let i = 0; i < names.length; i += AT_ONCE) await this.#addChildren(path, node, names.slice(i, i + AT_ONCE));
  }

  async #addChildren(path: string, directory: Node, names: readonly string[]): Promise<void> {
    const children = await Promise.all(names.map((name) => this.#tree.child(directory, name)));
    for (const [i, name] of names.entries()) {
      const child = children[i];
      if (child) await this.#add(path === "" ? name : `${path}/${name}`, child);
    }
  }

  async #addFacts(path: string, node: Node): Promise<void> {
    const { type, mode, uid, gid, size, major, minor } = node;
    const owner = this.#keepsOwners ? [uid, gid] : [];
    const xattrs = [...(node.xattrs ?? [])].map(([key, value]) => [key, value.toString("hex")]).sort();
    const target = type === "symlink" ? await this.#tree.target(node) : "";
    const content = type === "file" ? await this.#tree.digest(node) : "";
    const facts = [path, type, mode, ...owner, type === "file" ? size : 0, major, minor, xattrs, target, content];
    this.#hash.update(`${JSON.stringify([...facts, this.#numberOf(node)])}\n`);
  }

  #numberOf({ identity }: TreeNode): number | undefined {
    if (identity === undefined) return undefined;
    const number = this.#identities.get(identity) ?? this.#identities.size;
    this.#identities.set(identity, number);
    return number;
  }
}
