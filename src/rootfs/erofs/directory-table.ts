import { type DirectoryEntry, type DirectoryPlan, planDirectory, writeDirectoryBlock } from "./directory.js";
import {
  BLOCK_SIZE,
  INODE_SIZE,
  type InodeFields,
  LAYOUT,
  SLOT_SIZE,
  SUPERBLOCK_OFFSET,
  SUPERBLOCK_SIZE,
  writeInode,
} from "./format.js";
import type { MetadataArea, Slot } from "./metadata-area.js";
import type { Directory, Node } from "./node.js";
import type { OutputFile } from "./output-file.js";
import { encodeEntries, encodeSharedXattrs, encodeXattrs } from "./xattr.js";

/** The superblock has 16 bits for the root's inode number, so that inode follows the superblock directly. */
const ROOT_POSITION = SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE;
const ROOT_ROOM = BLOCK_SIZE - ROOT_POSITION;

interface Placed {
  directory: Directory;
  names: string[];
  plan: DirectoryPlan;
  slot: Slot;
  xattrs: Buffer;
  /** Whether what the last block holds lies behind the inode. */
  inline: boolean;
  /** Blocks of names before this directory's, counted from where all of them begin. */
  firstBlock: number;
}

/** What the superblock has to know of the directories. */
export interface WrittenDirectories {
  /** The image's first block, with the root's inode in it. */
  firstBlock: Buffer;
  rootNid: number;
  xattrBlock: number;
  directories: number;
}

/**
 * Writes all directories. First each gets its inode's place, then the names are written, for by then every number that
 * they lead to is known.
 */
export class DirectoryTableWriter {
  readonly #out: OutputFile;
  readonly #metadata: MetadataArea;
  readonly #firstBlock = Buffer.alloc(BLOCK_SIZE);
  readonly #nids = new Map<Directory, number>();
  /** Inodes that need more than a block. */
  readonly #large: { position: number; buffer: Buffer }[] = [];
  #number: number;
  #blocks = 0;
  #xattrBlock = 0;

  constructor(out: OutputFile, metadata: MetadataArea, lastNumber: number) {
    this.#out = out;
    this.#metadata = metadata;
    this.#number = lastNumber;
  }

  async write(root: Directory): Promise<WrittenDirectories> {
    this.#metadata.holdRegions();
    const rootXattrs = this.#shareRootXattrs(root);
    const placed: Placed[] = [];
    // An explicit stack: hostile layers nest deeper than the machine's.
    const open: Directory[] = [root];
    for (let directory = open.pop(); directory; directory = open.pop()) {
      const next = this.#plan(directory, directory === root ? rootXattrs : undefined);
      placed.push(next);
      this.#nids.set(directory, next.slot.nid);
      pushChildDirectories(open, directory, next.names);
    }
    const start = this.#out.position / BLOCK_SIZE;
    for (const each of placed) {
      this.#fill(each, start);
      await this.#out.drain();
    }
    for (const { position, buffer } of this.#large) this.#out.writeAt(position, buffer);
    return {
      firstBlock: this.#firstBlock,
      rootNid: ROOT_POSITION / SLOT_SIZE,
      xattrBlock: this.#xattrBlock,
      directories: placed.length,
    };
  }

  /** The root's place is narrow, so its attributes lie elsewhere, as shared ones. */
  #shareRootXattrs(root: Directory): Buffer {
    const { xattrs } = root.attributes;
    if (!xattrs || xattrs.size === 0) return encodeXattrs(undefined);
    this.#xattrBlock = this.#out.position / BLOCK_SIZE;
    let used = 0;
    const ids = encodeEntries(xattrs).map((entry) => {
      this.#out.append(entry);
      used += entry.length;
      return (used - entry.length) / 4;
    });
    this.#out.appendZeros((BLOCK_SIZE - (used % BLOCK_SIZE)) % BLOCK_SIZE);
    return encodeSharedXattrs(ids);
  }

  #plan(directory: Directory, rootXattrs: Buffer | undefined): Placed {
    // Names have one character per byte, so that the default order is the order of the bytes.
    const names = [".", "..", ...directory.children.keys()].sort();
    const plan = planDirectory(names);
    const xattrs = rootXattrs ?? encodeXattrs(directory.attributes.xattrs);
    const tail = plan.size - (plan.starts.length - 1) * BLOCK_SIZE;
    const withTail = INODE_SIZE + xattrs.length + tail;
    const inline = withTail <= (rootXattrs ? ROOT_ROOM : BLOCK_SIZE);
    const size = inline ? withTail : INODE_SIZE + xattrs.length;
    const slot = rootXattrs
      ? { nid: ROOT_POSITION / SLOT_SIZE, buffer: this.#firstBlock, offset: ROOT_POSITION }
      : this.#place(size);
    const firstBlock = this.#blocks;
    this.#blocks += plan.starts.length - (inline ? 1 : 0);
    return { directory, names, plan, slot, xattrs, inline, firstBlock };
  }

  /** Attributes may be larger than a block; the inode then gets blocks of its own. */
  #place(size: number): Slot {
    if (size <= BLOCK_SIZE) return this.#metadata.place(size);
    const position = this.#out.position;
    const buffer = Buffer.alloc(Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE);
    this.#out.skip(buffer.length);
    this.#large.push({ position, buffer });
    return { nid: position / SLOT_SIZE, buffer, offset: 0 };
  }
  #fill(placed: Placed, start: number): void {
    const { directory, plan, slot, xattrs, inline } = placed;
    const entries = placed.names.map((name) => this.#entry(directory, name));
    const ownBlocks = plan.starts.length - (inline ? 1 : 0);
    const inode: InodeFields = {
      type: "directory",
      attributes: directory.attributes,
      layout: inline ? LAYOUT.flatInline : LAYOUT.flatPlain,
      xattrSize: xattrs.length,
      size: plan.size,
      union: ownBlocks === 0 ? 0 : start + placed.firstBlock,
      number: ++this.#number,
      links: 2 + entries.filter(({ type, name }) => type === "directory" && name !== "." && name !== "..").length,
    };
    writeInode(slot.buffer, slot.offset, inode);
    xattrs.copy(slot.buffer, slot.offset + INODE_SIZE);
    plan.starts.forEach((first, i) => {
      const end = plan.starts[i + 1] ?? entries.length;
      if (i < ownBlocks) {
        const block = Buffer.alloc(BLOCK_SIZE);
        writeDirectoryBlock(block, 0, entries, first, end);
        this.#out.append(block);
      } else {
        writeDirectoryBlock(slot.buffer, slot.offset + INODE_SIZE + xattrs.length, entries, first, end);
      }
    });
  }

  #entry(directory: Directory, name: string): DirectoryEntry {
    let node: Node | undefined;
    if (name === ".") node = directory;
    else if (name === "..") node = directory.parent ?? directory;
    else node = directory.children.get(name);
    if (!node) throw new Error(`the directory lost its entry ${name}`);
    return { name, type: node.type, nid: node.type === "directory" ? (this.#nids.get(node) ?? 0) : node.nid };
  }
}

/** In reverse, so that the first is taken first. */
function pushChildDirectories(stack: Directory[], directory: Directory, names: readonly string[]): void {
  for (let i = names.length - 1; i >= 0; i--) {
    const child = directory.children.get(names[i] ?? "");
    if (child?.type === "directory") stack.push(child);
  }
}
