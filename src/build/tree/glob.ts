import type { SourcePath, SourceSegment } from "../../dockerfile/index.js";
import { resolveIn } from "./resolve.js";
import { type SourceTree, type TreeNode, toBytes, toText } from "./source-tree.js";

/** Something that a source of COPY names. */
export interface Match<Node> {
  /** Its name as the source has it; empty for the root. */
  name: string;
  node: Node;
  /** Where it is once links are followed. */
  names: readonly string[];
}

/** What a source of COPY stands for in a tree. Links that it leads through are followed within the tree. */
export async function findSources<Node extends TreeNode>(
  tree: SourceTree<Node>,
  { segments }: SourcePath,
): Promise<Match<Node>[]> {
  const plain = segments.findIndex(({ kind }) => kind !== "name");
  const fixed = segments.slice(0, plain < 0 ? segments.length : plain).map(nameOf);
  if (plain < 0) {
    const found = await resolveIn(tree, fixed.join("/"));
    return found ? [{ ...found, name: fixed.at(-1) ?? "" }] : [];
  }
  const base = await resolveIn(tree, fixed.join("/"));
  if (base?.node.type !== "directory") return [];
  const matches = await descend(tree, base.node, base.names, segments.slice(plain));
  // A link that a pattern finds is followed like one that is named.
  const followed = await Promise.all(matches.map((names) => resolveIn(tree, names.join("/"))));
  return followed.flatMap((found, i) => (found ? [{ ...found, name: matches[i]?.at(-1) ?? "" }] : []));
}

async function descend<Node extends TreeNode>(
  tree: SourceTree<Node>,
  directory: Node,
  above: readonly string[],
  [segment, ...rest]: readonly SourceSegment[],
): Promise<(readonly string[])[]> {
  const found: (readonly string[])[] = [];
  for (const name of await tree.names(directory)) {
    if (!segment || !matches(segment, name)) continue;
    const names = [...above, name];
    if (rest.length === 0) {
      found.push(names);
      continue;
    }
    const node = await tree.child(directory, name);
    if (node?.type === "directory") found.push(...(await descend(tree, node, names, rest)));
  }
  return found;
}

/** Wildcards match characters, not bytes. */
function matches(segment: SourceSegment, name: string): boolean {
  if (segment.kind === "pattern") return segment.matches(toText(name));
  return segment.kind === "name" && toBytes(segment.name) === name;
}

function nameOf(segment: SourceSegment): string {
  return segment.kind === "name" ? toBytes(segment.name) : "";
}
