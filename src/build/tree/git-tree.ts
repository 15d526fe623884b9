import { createHash } from "node:crypto";
import { UsageError } from "../../errors.js";
import type { GitCheckout, GitEntry, MadeNode } from "../../remote/index.js";
import type { SourceTree, TreeNode } from "./source-tree.js";

/** A file of a repository, or of what is made to be its `.git`. */
interface GitNode extends TreeNode {
  /** Below the root of its checkout. */
  path: string;
  at: { checkout: GitCheckout; entry: GitEntry } | { made: MadeNode };
}

/** Of all times that files are looked at. */
const MOST_NODES = 4_000_000;
const MOST_BYTES = 64 * 1024 ** 3;
const MOST_PATH = 4096;
const BLANK = { uid: 0, gid: 0, major: 0, minor: 0, xattrs: undefined, identity: undefined } as const;
const MODES = { file: 0o644, executable: 0o755, link: 0o777, folder: 0o755, submodule: 0o755 };
const TYPES = {
  file: "file",
  executable: "file",
  link: "symlink",
  folder: "directory",
  submodule: "directory",
} as const;

/** The files of a git repository, those of its submodules too, with the time of their commit. Nothing is checked out: they are read from the pack. */
export class GitTree implements SourceTree<GitNode> {
  readonly name: string;
  readonly keepsOwners = false;
  readonly #checkout: GitCheckout;
  readonly #git: MadeNode | undefined;
  #nodes = 0;
  #bytes = 0;

  /** @param git what its `.git` is, if it is to have one */
  constructor(name: string, checkout: GitCheckout, git: MadeNode | undefined) {
    this.name = name;
    this.#checkout = checkout;
    this.#git = git;
  }

  [Symbol.dispose](): void {}

  async root(): Promise<GitNode> {
    return this.#node(this.#checkout, "", this.#checkout.root);
  }

  async child(directory: GitNode, name: string): Promise<GitNode | undefined> {
    const { at } = directory;
    const path = directory.path === "" ? name : `${directory.path}/${name}`;
    if ("made" in at) {
      const made = at.made instanceof Map ? (at.made as ReadonlyMap<string, MadeNode>).get(name) : undefined;
      return made && this.#made(made, path);
    }
    if (name === ".git" && this.#git && this.#isRoot(directory)) return this.#made(this.#git, path);
    const entry = at.checkout.list(at.entry).get(name);
    if (entry?.kind !== "submodule") return entry && this.#node(at.checkout, path, entry);
    const checkout = await at.checkout.submodule(Buffer.from(path, "latin1").toString(), entry);
    return this.#node(checkout, "", checkout.root);
  }

  async names(directory: GitNode): Promise<string[]> {
    const { at } = directory;
    if ("made" in at) return at.made instanceof Map ? [...at.made.keys()].sort() : [];
    const own = [...at.checkout.list(at.entry).keys()];
    return [...(this.#git && this.#isRoot(directory) ? [".git"] : []), ...own].sort();
  }

  async target({ at }: GitNode): Promise<string> {
    return "made" in at ? "" : at.checkout.target(at.entry);
  }

  async *content({ at }: GitNode): AsyncGenerator<Buffer> {
    if (!("made" in at)) yield at.checkout.read(this.#counted(at.checkout, at.entry));
    else if ("content" in at.made) yield* at.made.content();
  }

  async digest(file: GitNode): Promise<string> {
    const hash = createHash("sha256");
    for await (const chunk of this.content(file)) hash.update(chunk);
    return hash.digest("hex");
  }

  /** A small pack can name the same files again and again. */
  #counted(checkout: GitCheckout, entry: GitEntry): GitEntry {
    this.#bytes += TYPES[entry.kind] === "file" ? checkout.size(entry) : 0;
    if (this.#bytes <= MOST_BYTES) return entry;
    throw new UsageError(`${this.name} has more than ${MOST_BYTES / 1024 ** 3} GiB of files`);
  }

  #isRoot({ at, path }: GitNode): boolean {
    return path === "" && "checkout" in at && at.checkout === this.#checkout;
  }

  #node(checkout: GitCheckout, path: string, entry: GitEntry): GitNode {
    const { kind } = entry;
    if (++this.#nodes > MOST_NODES || path.length > MOST_PATH)
      throw new UsageError(`${this.name} has files without end`);
    const size = TYPES[kind] === "file" ? checkout.size(entry) : 0;
    const mtimeSeconds = checkout.timeSeconds;
    return { ...BLANK, type: TYPES[kind], mode: MODES[kind], size, mtimeSeconds, path, at: { checkout, entry } };
  }

  #made(made: MadeNode, path: string): GitNode {
    const isFile = "content" in made;
    const facts = isFile ? ({ type: "file", mode: 0o644, size: made.size } as const) : FOLDER;
    return { ...BLANK, ...facts, mtimeSeconds: this.#checkout.timeSeconds, path, at: { made } };
  }
}

const FOLDER = { type: "directory", mode: 0o755, size: 0 } as const;
