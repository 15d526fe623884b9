import { UsageError } from "../../errors.js";
import { type LayerNode, type LayerTree, type TreeNode, toText } from "../tree/index.js";

/** As many as Linux follows. */
const MOST_LINKS = 40;

/** A file that a new layer has. */
export type DraftNode = DraftDirectory | DraftLeaf;

/** A folder of a new layer, or one that is there already and on the way to something new. */
export interface DraftDirectory {
  type: "directory";
  attributes: DraftAttributes;
  /** What the layers below have in its place. */
  below: LayerNode | undefined;
  children: Map<string, DraftNode>;
  parent: DraftDirectory | undefined;
  /** It is in the place of a folder of the layers below, none of which is to be seen in it. */
  isOpaque?: boolean;
}

export interface DraftLeaf {
  type: "leaf";
  node: TreeNode;
  attributes: DraftAttributes;
  /** Of a symbolic link. */
  target: string;
  content: () => AsyncIterable<Buffer>;
}

export type DraftAttributes = Pick<TreeNode, "mode" | "uid" | "gid" | "mtimeSeconds" | "xattrs">;

/** A layer that is put together on this machine, upon others: what is copied, with the folders that lead there as they are. */
export class LayerDraft {
  readonly root: DraftDirectory;
  readonly #base: LayerTree;
  #isChanged = false;

  private constructor(base: LayerTree, root: LayerNode) {
    this.#base = base;
    this.root = { type: "directory", attributes: root, below: root, children: new Map(), parent: undefined };
  }

  static async begin(base: LayerTree): Promise<LayerDraft> {
    return new LayerDraft(base, await base.root());
  }

  /** Whether the layer would change anything. */
  get isChanged(): boolean {
    return this.#isChanged;
  }

  /** What a path leads to, links followed; undefined when there is nothing. */
  async find(path: string): Promise<DraftDirectory | LayerNode | DraftLeaf | undefined> {
    return this.#walk(path, undefined);
  }

  /** The folder at a path; missing ones on the way are made. @throws UsageError when something else is in the way */
  async makeDirectory(path: string, missing: DraftAttributes): Promise<DraftDirectory> {
    const found = await this.#walk(path, missing);
    if (found && "children" in found) return found;
    throw new UsageError(`${toText(path)} is not a folder`);
  }

  /**
   * Puts a file into a folder.
   * @param replaces whether it may be in the place of a folder
   * @throws UsageError when a folder is in its place
   */
  async putLeaf(directory: DraftDirectory, name: string, leaf: DraftLeaf, replaces = false): Promise<void> {
    const there = await this.#child(directory, name);
    if (there && "children" in there && !replaces) throw new UsageError(`a folder is in the place of ${toText(name)}`);
    directory.children.set(name, leaf);
    this.#isChanged = true;
  }

  /**
   * The folder of that name, made with these attributes or, if it is there, given them.
   * @param replaces whether it may be in the place of something else
   * @throws UsageError when something else is in its place
   */
  async putDirectory(
    directory: DraftDirectory,
    name: string,
    attributes: DraftAttributes,
    replaces = false,
  ): Promise<DraftDirectory> {
    const there = await this.#child(directory, name);
    if (there && !("children" in there)) {
      if (!replaces) throw new UsageError(`${toText(name)} is not a folder, and cannot be replaced by one`);
      const below = directory.below && (await this.#base.child(directory.below, name));
      const made = this.#make(directory, name, attributes);
      made.isOpaque = below?.type === "directory";
      return made;
    }
    if (!there) return this.#make(directory, name, attributes);
    there.attributes = attributes;
    this.#isChanged = true;
    return there;
  }

  async #child(directory: DraftDirectory, name: string): Promise<DraftNode | LayerNode | undefined> {
    const own = directory.children.get(name);
    if (own || !directory.below) return own;
    const below = await this.#base.child(directory.below, name);
    if (below?.type !== "directory") return below;
    const child: DraftDirectory = {
      type: "directory",
      attributes: below,
      below,
      children: new Map(),
      parent: directory,
    };
    directory.children.set(name, child);
    return child;
  }

  #make(parent: DraftDirectory, name: string, attributes: DraftAttributes): DraftDirectory {
    const made: DraftDirectory = { type: "directory", attributes, below: undefined, children: new Map(), parent };
    parent.children.set(name, made);
    this.#isChanged = true;
    return made;
  }

  async #walk(path: string, missing: DraftAttributes | undefined) {
    let at = this.root;
    const rest = path.split("/").reverse();
    for (let links = 0; rest.length > 0; ) {
      const name = rest.pop();
      if (name === undefined || name === "" || name === ".") continue;
      const child = await this.#step(at, name, missing);
      if (!child) return undefined;
      if ("children" in child) {
        at = child;
        continue;
      }
      const target = await this.#targetOf(child);
      if (target === undefined) {
        if (rest.every((part) => part === "" || part === ".")) return child;
        throw new UsageError(`${toText(name)} on the way to ${toText(path)} is not a folder`);
      }
      if (++links > MOST_LINKS) throw new UsageError(`${toText(path)} leads through too many links`);
      if (target.startsWith("/")) at = this.root;
      rest.push(...target.split("/").reverse());
    }
    return at;
  }

  async #step(at: DraftDirectory, name: string, missing: DraftAttributes | undefined) {
    if (name === "..") return at.parent ?? at;
    return (await this.#child(at, name)) ?? (missing && this.#make(at, name, missing));
  }

  /** Of a symbolic link. */
  async #targetOf(child: LayerNode | DraftLeaf): Promise<string | undefined> {
    if (child.type === "leaf") return child.node.type === "symlink" ? child.target : undefined;
    return child.type === "symlink" ? this.#base.target(child) : undefined;
  }
}
