import { UsageError } from "../../errors.js";
import { type SourceTree, type TreeNode, toText } from "./source-tree.js";

/** As many as Linux follows. */
const MOST_LINKS = 40;

/** A file in a tree, by the path that leads to it without any link. */
export interface Resolved<Node> {
  node: Node;
  /** From the root's child to the file; empty for the root. */
  names: readonly string[];
}

/**
 * Finds what a path leads to within a tree: links are followed, also absolute ones, as if the tree's root were `/`; nothing is above it.
 * @param path one character per byte
 */
export async function resolveIn<Node extends TreeNode>(
  tree: SourceTree<Node>,
  path: string,
): Promise<Resolved<Node> | undefined> {
  const root = await tree.root();
  let way: { name: string; node: Node }[] = [];
  const rest = path.split("/").reverse();
  for (let links = 0; rest.length > 0; ) {
    const name = rest.pop();
    if (name === undefined || name === "" || name === ".") continue;
    if (name === "..") {
      way = way.slice(0, -1);
      continue;
    }
    const directory = way.at(-1)?.node ?? root;
    const node = directory.type === "directory" ? await tree.child(directory, name) : undefined;
    if (!node) return undefined;
    if (node.type !== "symlink") {
      way.push({ name, node });
      continue;
    }
    if (++links > MOST_LINKS) throw new UsageError(`${toText(path)} in ${tree.name} leads through too many links`);
    const target = await tree.target(node);
    if (target.startsWith("/")) way = [];
    rest.push(...target.split("/").reverse());
  }
  return { node: way.at(-1)?.node ?? root, names: way.map(({ name }) => name) };
}
