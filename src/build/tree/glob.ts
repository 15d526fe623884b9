import { UsageError } from "../../errors.js";
import { resolveIn } from "./resolve.js";
import { type SourceTree, type TreeNode, toText } from "./source-tree.js";

/** Something that a source of COPY names. */
export interface Match<Node> {
  /** Its name as the source has it; empty for the root. */
  name: string;
  node: Node;
  /** Where it is once links are followed. */
  names: readonly string[];
}

/** Whether a source may stand for several files. */
export function hasWildcard(source: string): boolean {
  return /[*?[]/.test(source);
}

/**
 * What a source of COPY stands for: a path, or a pattern as Go's `filepath.Match` has them, whose wildcards never match a slash. What is
 * above the root is the root. @throws UsageError for a malformed pattern
 */
export async function findSources<Node extends TreeNode>(
  tree: SourceTree<Node>,
  source: string,
): Promise<Match<Node>[]> {
  const parts = normalized(source);
  const first = parts.findIndex(hasWildcard);
  if (first < 0) {
    const plain = parts.map((part) => part.replace(/\\(.)/gs, "$1"));
    const found = await resolveIn(tree, plain.join("/"));
    return found ? [{ ...found, name: plain.at(-1) ?? "" }] : [];
  }
  const base = await resolveIn(tree, parts.slice(0, first).join("/"));
  if (base?.node.type !== "directory") return [];
  const matches = await descend(tree, base.node, base.names, parts.slice(first));
  // A link that a pattern finds is followed like one that is named.
  const followed = await Promise.all(matches.map(({ names }) => resolveIn(tree, names.join("/"))));
  return followed.flatMap((found, i) => (found ? [{ ...found, name: matches[i]?.names.at(-1) ?? "" }] : []));
}

async function descend<Node extends TreeNode>(
  tree: SourceTree<Node>,
  directory: Node,
  above: readonly string[],
  parts: readonly string[],
): Promise<{ names: readonly string[] }[]> {
  const [part = "", ...rest] = parts;
  // Wildcards match characters, not bytes.
  const pattern = patternOf(toText(part));
  const found: { names: readonly string[] }[] = [];
  for (const name of await tree.names(directory)) {
    if (!pattern.test(toText(name))) continue;
    const names = [...above, name];
    if (rest.length === 0) {
      found.push({ names });
      continue;
    }
    const node = await tree.child(directory, name);
    if (node?.type === "directory") found.push(...(await descend(tree, node, names, rest)));
  }
  return found;
}

/** The parts of a path, `..` resolved without looking. */
function normalized(source: string): string[] {
  const parts: string[] = [];
  for (const part of source.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

/** One part of a path as a regular expression. */
export function patternOf(part: string): RegExp {
  let text = "";
  for (let at = 0; at < part.length; at++) {
    const char = part[at] ?? "";
    if (char === "*") text += "[^/]*";
    else if (char === "?") text += "[^/]";
    else if (char === "\\" && at + 1 < part.length) text += escape(part[++at] ?? "");
    else if (char === "[") {
      const [set] = /^\[\^?(?:\\.|[^\\\]])+\]/s.exec(part.slice(at)) ?? [];
      if (set === undefined) throw new UsageError(`${JSON.stringify(part)} is a malformed pattern: a [ is not closed`);
      text += set.replace(/(?<!^)\[/g, "\\[");
      at += set.length - 1;
    } else text += escape(char);
  }
  return new RegExp(`^${text}$`, "su");
}

function escape(char: string): string {
  return char.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
}
