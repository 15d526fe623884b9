import { UsageError } from "../../errors.js";
import { type Excludes, type Match, type SourceTree, type TreeNode, toText, type Way } from "../tree/index.js";
import { changeMode, type ModeChange } from "./chmod.js";
import type { DraftAttributes, DraftDirectory, DraftLeaf, LayerDraft } from "./draft.js";

/** How files come to be in the layer. */
export interface CopyRules {
  /** Absolute. A slash at its end says that it is a folder. */
  destination: string;
  owner: { uid: number; gid: number } | undefined;
  mode: ModeChange | undefined;
  /** Seconds since 1970: when what has no time of its own was made. */
  now: number;
  /** Whether a file may be in the place of a folder that is there, and a folder in that of a file or link. */
  replaces?: boolean;
  /** By the path below a source folder, or below what is before `/./` with parents; of a single file by its name. */
  excludes?: Excludes | undefined;
}

/**
 * Copies files into a layer by docker's rules: what a folder has goes into the destination, a file goes there under its own name if that is a
 * folder or ends with a slash, else it becomes the destination.
 * @throws UsageError
 */
export async function copyFiles<Node extends TreeNode>(
  draft: LayerDraft,
  tree: SourceTree<Node>,
  matches: readonly Match<Node>[],
  rules: CopyRules,
): Promise<void> {
  if (matches.length > 1 && !isFolderName(rules.destination)) {
    throw new UsageError(`${toText(rules.destination)} must be a folder, for there are ${matches.length} sources`, {
      hint: "End the destination with a slash.",
    });
  }
  const copier = new Copier(draft, tree, rules);
  for (const match of matches) await copier.copy(match);
}

/** Whether a destination is said to be a folder. */
export function isFolderName(path: string): boolean {
  return /\/\.{0,2}$/.test(path);
}

let copies = 0;

class Copier<Node extends TreeNode> {
  readonly #draft: LayerDraft;
  readonly #tree: SourceTree<Node>;
  readonly #rules: CopyRules;
  /** Names of one file stay that within what one source matches. */
  #source = "";

  constructor(draft: LayerDraft, tree: SourceTree<Node>, rules: CopyRules) {
    this.#draft = draft;
    this.#tree = tree;
    this.#rules = rules;
  }

  async copy(match: Match<Node>): Promise<void> {
    this.#source = `${copies++}`;
    const { destination } = this.#rules;
    const { node, name } = match;
    if (match.parents) {
      await this.#copyBelow(match.parents, match, await this.#folder(destination));
      return;
    }
    if (node.type !== "directory" && this.#rules.excludes?.(toText(name))) return;
    if (node.type === "directory") {
      const folder = await this.#folder(destination);
      await this.#copyContent(node, folder, "");
      return;
    }
    const there = await this.#draft.find(destination);
    if (isFolderName(destination) || (there && "children" in there)) {
      await this.#copyLeaf(node, await this.#folder(destination), name);
      return;
    }
    const slash = destination.lastIndexOf("/");
    // A file that is there is replaced, not what a link in its place leads to.
    const folder = await this.#folder(destination.slice(0, slash) || "/");
    await this.#copyLeaf(node, folder, destination.slice(slash + 1));
  }

  /** With the folders on the way to it as they are. */
  async #copyBelow(parents: Way<Node>, { node, name }: Match<Node>, folder: DraftDirectory): Promise<void> {
    const path = [...parents.map((each) => each.name), name].join("/");
    if (this.#rules.excludes?.(toText(path))) return;
    let at = folder;
    for (const each of parents) at = await this.#draft.putDirectory(at, each.name, this.#attributes(each.node));
    if (node.type !== "directory") await this.#copyLeaf(node, at, name);
    else await this.#copyContent(node, await this.#draft.putDirectory(at, name, this.#attributes(node)), path);
  }

  /** A folder that is there stays as it is; a new one does not look like the source, whose content alone is copied. */
  #folder(path: string): Promise<DraftDirectory> {
    return this.#draft.makeDirectory(path, this.#missing());
  }

  async #copyContent(directory: Node, target: DraftDirectory, prefix: string): Promise<void> {
    for (const name of await this.#tree.names(directory)) {
      const path = prefix === "" ? name : `${prefix}/${name}`;
      const child = await this.#tree.child(directory, name);
      if (!child || this.#rules.excludes?.(toText(path))) continue;
      if (child.type === "directory") {
        const attributes = this.#attributes(child);
        const made = await this.#draft.putDirectory(target, name, attributes, this.#rules.replaces);
        await this.#copyContent(child, made, path);
      } else {
        await this.#copyLeaf(child, target, name);
      }
    }
  }

  async #copyLeaf(node: Node, folder: DraftDirectory, name: string): Promise<void> {
    const tree = this.#tree;
    const target = node.type === "symlink" ? await tree.target(node) : "";
    const attributes = this.#attributes(node);
    const identity = node.identity && `${this.#source} ${node.identity}`;
    const content = () => tree.content(node);
    const leaf: DraftLeaf = { type: "leaf", node: { ...node, identity }, attributes, target, content };
    await this.#draft.putLeaf(folder, name, leaf, this.#rules.replaces);
  }

  #missing(): DraftAttributes {
    const { owner = ROOT, now } = this.#rules;
    return { mode: 0o755, ...owner, mtimeSeconds: now, xattrs: undefined };
  }

  #attributes(node: TreeNode): DraftAttributes {
    const { owner, mode } = this.#rules;
    const { uid, gid } = owner ?? (this.#tree.keepsOwners ? node : ROOT);
    const { mtimeSeconds, xattrs } = node;
    const isChanged = mode !== undefined && node.type !== "symlink";
    return { mode: isChanged ? changeMode(node, mode) : node.mode, uid, gid, mtimeSeconds, xattrs };
  }
}

const ROOT = { uid: 0, gid: 0 };
