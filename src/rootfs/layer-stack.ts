import { ErofsReader, type Inode } from "./erofs/index.js";
import { isOpaque, isWhiteout } from "./layer/index.js";

/** A file as a stack of layers shows it. */
export interface StackNode {
  readonly inode: Inode;
  readonly reader: ErofsReader;
  /** Of a directory: those of all layers that it is merged of, the highest first. */
  readonly merged: readonly { reader: ErofsReader; inode: Inode }[];
}

/** Layers one above the other, read as overlayfs would show them. Names have one character per byte. */
export class LayerStack implements Disposable {
  readonly root: StackNode | undefined;
  readonly #readers: ErofsReader[] = [];

  /**
   * @param paths of EROFS images, from the lowest to the highest
   * @throws ImageError when one of them is damaged
   */
  constructor(paths: readonly string[]) {
    try {
      for (const path of paths) this.#readers.unshift(new ErofsReader(path));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    this.root = mergedNode(this.#readers.map((reader) => ({ reader, inode: reader.root })));
  }

  [Symbol.dispose](): void {
    for (const reader of this.#readers) reader[Symbol.dispose]();
  }

  /** What a directory has under a name. */
  child(directory: StackNode, name: string): StackNode | undefined {
    const found: { reader: ErofsReader; inode: Inode }[] = [];
    for (const { reader, inode } of directory.merged) {
      const entry = reader.list(inode).get(name);
      if (!entry) continue;
      const child = reader.inode(entry.nid);
      if (isWhiteout(child) || (found.length > 0 && child.type !== "directory")) break;
      found.push({ reader, inode: child });
      if (child.type !== "directory" || isOpaque(child)) break;
    }
    return mergedNode(found);
  }

  /** The names in a directory, in the order of their bytes. */
  names(directory: StackNode): string[] {
    const names = new Map<string, boolean>();
    for (const { reader, inode } of directory.merged) {
      for (const [name, { nid, type }] of reader.list(inode)) {
        if (!names.has(name)) names.set(name, type !== "char" || !isWhiteout(reader.inode(nid)));
      }
    }
    return [...names].flatMap(([name, isThere]) => (isThere ? [name] : [])).sort();
  }

  target({ reader, inode }: StackNode): string {
    return reader.target(inode);
  }

  content({ reader, inode }: StackNode): AsyncGenerator<Buffer> {
    return reader.content(inode);
  }
}

/** A directory ends at the layer in which it hides those below. */
function mergedNode(found: readonly { reader: ErofsReader; inode: Inode }[]): StackNode | undefined {
  const [top] = found;
  if (!top) return undefined;
  const end = found.findIndex(({ inode }) => isOpaque(inode));
  const merged = top.inode.type === "directory" ? found.slice(0, end < 0 ? found.length : end + 1) : [];
  return { ...top, merged };
}
