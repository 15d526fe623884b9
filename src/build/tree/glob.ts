import type { SourcePath, SourceSegment } from "../../dockerfile/index.js";
import { resolveIn } from "./resolve.js";
import { type SourceTree, type TreeNode, toBytes, toText } from "./source-tree.js";

/** The folders that lead to something, from the topmost. */
export type Way<Node> = readonly { name: string; node: Node }[];

/** Something that a source of COPY names. */
export interface Match<Node> {
  /** Its name as the source has it; empty for the root. */
  name: string;
  node: Node;
  /** Where it is once links are followed. */
  names: readonly string[];
  /** With `--parents`: the folders that the destination repeats. */
  parents?: Way<Node> | undefined;
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
  const found = await descend(tree, { name: "", node: base.node }, [], segments.slice(plain));
  const matches = found.map((way) => [...base.names, ...way.map(({ name }) => name)]);
  // A link that a pattern finds is followed like one that is named.
  const followed = await Promise.all(matches.map((names) => resolveIn(tree, names.join("/"))));
  return followed.flatMap((each, i) => (each ? [{ ...each, name: matches[i]?.at(-1) ?? "" }] : []));
}

/**
 * What a source of COPY --parents stands for, with the folders between what is before `/./` and it. As in BuildKit it is a choice among the
 * files of a folder: links below it are files like others, and not followed.
 */
export async function findWithParents<Node extends TreeNode>(
  tree: SourceTree<Node>,
  { pivot, segments }: SourcePath,
): Promise<Match<Node>[]> {
  const pivots = await findSources(tree, { pivot: [], segments: pivot, hasWildcard: false });
  const found = await Promise.all(
    pivots.map(async ({ node, names }): Promise<Match<Node>[]> => {
      if (node.type !== "directory") return [];
      if (segments.length === 0) return [{ name: "", node, names }];
      const ways = await descend(tree, { name: "", node }, [], segments);
      return ways.flatMap((way) => {
        const last = way.at(-1);
        const at = [...names, ...way.map(({ name }) => name)];
        return last ? [{ ...last, names: at, parents: way.slice(0, -1) }] : [];
      });
    }),
  );
  return found.flat();
}

/** The ways from a folder to all that the segments match, links not followed. */
async function descend<Node extends TreeNode>(
  tree: SourceTree<Node>,
  { node }: Way<Node>[number],
  above: Way<Node>,
  segments: readonly SourceSegment[],
): Promise<Way<Node>[]> {
  const [segment, ...rest] = segments;
  if (!segment) return [above];
  if (node.type !== "directory") return [];
  const found: Way<Node>[] = [];
  if (segment.kind === "folders" && rest.length > 0)
    found.push(...(await descend(tree, { name: "", node }, above, rest)));
  for (const name of await namesFor(tree, node, segment)) {
    const child = await tree.child(node, name);
    if (!child) continue;
    const way = [...above, { name, node: child }];
    // At the end any number of folders is all that there is.
    const next = segment.kind === "folders" && rest.length > 0 ? segments : rest;
    found.push(...(await descend(tree, { name, node: child }, way, next)));
  }
  return found;
}

/** Wildcards match characters, not bytes. */
async function namesFor<Node extends TreeNode>(
  tree: SourceTree<Node>,
  directory: Node,
  segment: SourceSegment,
): Promise<string[]> {
  if (segment.kind === "name") return [toBytes(segment.name)];
  const names = await tree.names(directory);
  return segment.kind === "pattern" ? names.filter((name) => segment.matches(toText(name))) : names;
}

function nameOf(segment: SourceSegment): string {
  return segment.kind === "name" ? toBytes(segment.name) : "";
}
