import type { Stats } from "node:fs";
import { constants } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { resolve } from "node:path";
import type { PathPatterns } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import type { FileDigests } from "./file-digests.js";
import type { SourceTree, TreeNode } from "./source-tree.js";
import { toText } from "./source-tree.js";

const PIECE = 256 * 1024;

/** A file of a folder on this machine. */
export interface ContextNode extends TreeNode {
  /** Below the folder, one character per byte; empty for the folder itself. */
  path: string;
  stats: Stats;
}

/**
 * A folder of this machine as the context of a build. No symbolic link is ever followed by the system: links are given as links, and
 * whoever resolves them does so within the tree.
 */
export class ContextTree implements SourceTree<ContextNode> {
  readonly name: string;
  readonly keepsOwners = false;
  readonly folder: string;
  readonly #ignore: PathPatterns | undefined;
  readonly #digests: FileDigests;

  constructor(name: string, folder: string, digests: FileDigests, ignore?: PathPatterns) {
    this.name = name;
    this.folder = resolve(folder);
    this.#digests = digests;
    this.#ignore = ignore;
  }

  [Symbol.dispose](): void {}

  async root(): Promise<ContextNode> {
    const stats = await lstat(this.#absolute("."));
    if (stats.isDirectory()) return nodeOf(stats, "");
    throw new UsageError(`${this.folder} is not a folder`);
  }

  async child(directory: ContextNode, name: string): Promise<ContextNode | undefined> {
    const path = directory.path === "" ? name : `${directory.path}/${name}`;
    const stats = await lstat(this.#absolute(path)).catch(ifMissing);
    if (!stats) return undefined;
    const node = nodeOf(stats, path);
    return (await this.#isThere(node)) ? node : undefined;
  }

  async names(directory: ContextNode): Promise<string[]> {
    const names = await readdir(this.#absolute(directory.path), { encoding: "latin1" });
    if (!this.#ignore) return names.sort();
    const there = await Promise.all(names.map(async (name) => ((await this.child(directory, name)) ? [name] : [])));
    return there.flat().sort();
  }

  async target(link: ContextNode): Promise<string> {
    return readlink(this.#absolute(link.path), { encoding: "latin1" });
  }

  async *content(file: ContextNode): AsyncGenerator<Buffer> {
    await using handle = await this.#open(file);
    for (let left = file.size; left > 0; ) {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(PIECE, left)));
      if (bytesRead === 0) throw this.#changed(file);
      left -= bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async digest(file: ContextNode): Promise<string> {
    return this.#digests.of(`${this.folder}\0${file.path}`, file.stats, () => this.content(file));
  }

  /** Links in the file's place are not followed; what has become another file meanwhile is not read. */
  async #open(file: ContextNode) {
    const handle = await open(
      this.#absolute(file.path),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    const now = await handle.stat();
    if (now.ino === file.stats.ino && now.dev === file.stats.dev && now.size === file.size) return handle;
    await handle.close();
    throw this.#changed(file);
  }

  #changed(file: ContextNode): UsageError {
    return new UsageError(`${toText(file.path)} was changed while it was copied`, { hint: "Build once more." });
  }

  /** A folder that is excluded is there all the same when something in it is not. */
  async #isThere(node: ContextNode): Promise<boolean> {
    const path = toText(node.path);
    if (!this.#ignore?.matches(path)) return true;
    if (node.type !== "directory" || !this.#ignore.mayHaveExceptionsBelow(path)) return false;
    const names = await readdir(this.#absolute(node.path), { encoding: "latin1" });
    for (const name of names) {
      if (await this.child(node, name)) return true;
    }
    return false;
  }

  /** Names need not be valid UTF-8. */
  #absolute(path: string): Buffer {
    return Buffer.concat([Buffer.from(`${this.folder}/`), Buffer.from(path, "latin1")]);
  }
}

function nodeOf(stats: Stats, path: string): ContextNode {
  const type = typeOf(stats);
  return {
    type,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    mtimeSeconds: Math.floor(stats.mtimeMs / 1000),
    size: type === "file" ? stats.size : 0,
    major: 0,
    minor: 0,
    xattrs: undefined,
    identity: stats.nlink > 1 && type === "file" ? `${stats.dev} ${stats.ino}` : undefined,
    path,
    stats,
  };
}

function typeOf(stats: Stats): TreeNode["type"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isFIFO()) return "fifo";
  if (stats.isSocket()) return "socket";
  return stats.isBlockDevice() ? "block" : "char";
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}
