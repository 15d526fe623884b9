import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import { ImageError } from "../../errors.js";
import {
  type Attributes,
  BLOCK_SIZE,
  FILE_TYPE,
  type FileType,
  INODE_SIZE,
  LAYOUT,
  MODE_TYPE,
  NULL_BLOCK,
  readSuperblock,
  SLOT_SIZE,
  SUPERBLOCK_OFFSET,
} from "./format.js";
import { decodeXattrs, XATTR_HEADER_SIZE } from "./xattr.js";

const DIRENT_SIZE = 12;
const TYPE_BITS = 0o170000;
/** What a hostile image may ask for: a directory of a million names has 40 MiB. */
const MAX_DIRECTORY = 256 * 1024 * 1024;
const MAX_TARGET = 4096;
const CONTENT_PIECE = 1024 * 1024;
/** Blocks of metadata that are kept: inodes of one directory mostly lie together. */
const MAX_KEPT_BLOCKS = 512;

const TYPES = new Map(Object.entries(MODE_TYPE).map(([type, bits]) => [bits, type as FileType]));
const DIRENT_TYPES = new Map<number, FileType>(
  Object.entries(FILE_TYPE).map(([type, number]) => [number, type as FileType] as const),
);

/** What is known of a file of an image, but for its name. */
export interface Inode {
  /** Its number in the image: two names with the same one are the same file. */
  nid: number;
  type: FileType;
  attributes: Attributes;
  size: number;
  links: number;
  /** Of devices. */
  major: number;
  minor: number;
  layout: number;
  union: number;
  /** Where in the image the tail of the content or the chunk map is. */
  following: number;
}

/**
 * Reads images that {@link ErofsWriter} has written; others are refused. What an image says is checked before it is acted upon, for it
 * may have come from elsewhere. Names and targets have one character per byte.
 */
export class ErofsReader implements Disposable {
  readonly path: string;
  readonly root: Inode;
  readonly #file: number;
  readonly #size: number;
  readonly #xattrBlock: number;
  readonly #blocks = new Map<number, Buffer>();

  /** @throws ImageError when it is no such image */
  constructor(path: string) {
    this.path = path;
    this.#file = openSync(path, "r");
    try {
      this.#size = fstatSync(this.#file).size;
      const first = this.#read(0, BLOCK_SIZE);
      if (readSuperblock(first)?.bytes !== this.#size) throw this.#damaged("its first block is damaged");
      this.#xattrBlock = first.readUInt32LE(SUPERBLOCK_OFFSET + 44);
      this.root = this.inode(first.readUInt16LE(SUPERBLOCK_OFFSET + 14));
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  inode(nid: number): Inode {
    const at = nid * SLOT_SIZE;
    const raw = this.#metadata(at, INODE_SIZE);
    const format = raw.readUInt16LE(0);
    const mode = raw.readUInt16LE(4);
    const type = TYPES.get(mode & TYPE_BITS);
    if ((format & 1) === 0 || type === undefined)
      throw this.#damaged(`its inode ${nid} is of a form that is not known`);
    const count = raw.readUInt16LE(2);
    const xattrSize = count === 0 ? 0 : XATTR_HEADER_SIZE + 4 * (count - 1);
    const union = raw.readUInt32LE(16);
    const isDevice = type === "char" || type === "block";
    return {
      nid,
      type,
      attributes: {
        mode: mode & 0o7777,
        uid: raw.readUInt32LE(24),
        gid: raw.readUInt32LE(28),
        mtimeSeconds: Number(raw.readBigInt64LE(32)),
        mtimeNanoseconds: raw.readUInt32LE(40),
        xattrs: xattrSize === 0 ? undefined : this.#xattrs(at + INODE_SIZE, xattrSize),
      },
      size: Number(raw.readBigUInt64LE(8)),
      links: raw.readUInt32LE(44),
      major: isDevice ? (union >>> 8) & 0xfff : 0,
      minor: isDevice ? (union & 0xff) | ((union >>> 12) & 0xfff00) : 0,
      layout: (format >> 1) & 7,
      union,
      following: at + INODE_SIZE + xattrSize,
    };
  }

  /** The names in a directory, in the order of their bytes. */
  list(directory: Inode): Map<string, { nid: number; type: FileType }> {
    if (directory.type !== "directory" || directory.size > MAX_DIRECTORY) throw this.#damaged("a directory is none");
    const all = this.#small(directory);
    const names = new Map<string, { nid: number; type: FileType }>();
    for (let at = 0; at < all.length; at += BLOCK_SIZE) this.#names(all.subarray(at, at + BLOCK_SIZE), names);
    return names;
  }

  /** What a symbolic link holds. */
  target(link: Inode): string {
    if (link.type !== "symlink" || link.size > MAX_TARGET) throw this.#damaged("a symbolic link is none");
    return this.#small(link).toString("latin1");
  }

  /** The content of a regular file. */
  async *content(inode: Inode): AsyncGenerator<Buffer> {
    // A descriptor of its own: whoever reads slowly must not be cut off by our end.
    await using file = await open(this.path, "r");
    for (const { position, length } of this.#extents(inode)) {
      for (let done = 0; done < length; ) {
        const bytes = Buffer.alloc(Math.min(length - done, CONTENT_PIECE));
        if (position !== undefined) {
          const { bytesRead } = await file.read(bytes, 0, bytes.length, position + done);
          if (bytesRead !== bytes.length) throw this.#damaged("a file's content is missing");
        }
        yield bytes;
        done += bytes.length;
      }
    }
  }

  #small(inode: Inode): Buffer {
    const parts = [...this.#extents(inode)].map(({ position, length }) =>
      position === undefined ? Buffer.alloc(length) : this.#read(position, length),
    );
    return Buffer.concat(parts);
  }

  /** Where content is, in order; holes are nowhere. */
  *#extents(inode: Inode): Generator<{ position: number | undefined; length: number }> {
    const { size, layout, union, following } = inode;
    if (layout === LAYOUT.chunkBased) {
      yield* this.#chunks(inode);
    } else if (layout === LAYOUT.flatPlain || layout === LAYOUT.flatInline) {
      const tail = layout === LAYOUT.flatInline ? size % BLOCK_SIZE || Math.min(size, BLOCK_SIZE) : 0;
      if (size > tail) yield { position: union * BLOCK_SIZE, length: size - tail };
      if (tail > 0) yield { position: following, length: tail };
    } else throw this.#damaged(`its inode ${inode.nid} is of a form that is not known`);
  }

  *#chunks({ size, union, following, nid }: Inode): Generator<{ position: number | undefined; length: number }> {
    const chunkSize = BLOCK_SIZE * 2 ** (union & 0x1f);
    const count = Math.ceil(size / chunkSize);
    if ((union & ~0x1f) !== 0 || count * 4 > this.#size) throw this.#damaged(`the chunks of inode ${nid} are wrong`);
    const map = this.#read(following, count * 4);
    for (let i = 0; i < count; i++) {
      const block = map.readUInt32LE(i * 4);
      const length = Math.min(chunkSize, size - i * chunkSize);
      yield { position: block === NULL_BLOCK ? undefined : block * BLOCK_SIZE, length };
    }
  }

  #names(block: Buffer, names: Map<string, { nid: number; type: FileType }>): void {
    const first = block.length < DIRENT_SIZE ? 0 : block.readUInt16LE(8);
    if (first < DIRENT_SIZE || first % DIRENT_SIZE !== 0 || first > block.length) throw this.#damaged("a directory is");
    const count = first / DIRENT_SIZE;
    for (let i = 0; i < count; i++) {
      const at = i * DIRENT_SIZE;
      const start = block.readUInt16LE(at + 8);
      const end = i + 1 < count ? block.readUInt16LE(at + DIRENT_SIZE + 8) : block.length;
      const name = block.toString("latin1", start, Math.max(start, end)).replace(/\0.*$/s, "");
      const type = DIRENT_TYPES.get(block.readUInt8(at + 10));
      if (name === "." || name === "..") continue;
      if (name === "" || name.includes("/") || type === undefined) throw this.#damaged("a directory has a wrong name");
      names.set(name, { nid: Number(block.readBigUInt64LE(at)), type });
    }
  }

  #xattrs(at: number, size: number): Map<string, Buffer> {
    const shared = this.#xattrBlock * BLOCK_SIZE;
    const found = decodeXattrs(this.#read(at, size), (position, length) => this.#read(shared + position, length));
    if (!found) throw this.#damaged("extended attributes are wrong");
    return found;
  }

  /** What lies in one block mostly, and is asked for piece by piece. */
  #metadata(position: number, length: number): Buffer {
    const number = Math.floor(position / BLOCK_SIZE);
    const offset = position - number * BLOCK_SIZE;
    if (offset + length > BLOCK_SIZE) return this.#read(position, length);
    let block = this.#blocks.get(number);
    if (!block) {
      block = this.#read(number * BLOCK_SIZE, BLOCK_SIZE);
      if (this.#blocks.size >= MAX_KEPT_BLOCKS) this.#blocks.clear();
      this.#blocks.set(number, block);
    }
    return block.subarray(offset, offset + length);
  }

  #read(position: number, length: number): Buffer {
    if (!(position >= 0 && length >= 0 && position + length <= this.#size))
      throw this.#damaged("it points beyond its end");
    const bytes = Buffer.alloc(length);
    if (readSync(this.#file, bytes, 0, length, position) !== length) throw this.#damaged("it is shorter than it was");
    return bytes;
  }

  #damaged(how: string): ImageError {
    return new ImageError(`The layer's image ${this.path} is damaged: ${how}`, {
      hint: "`supermachine doctor --store` finds what is damaged and removes it.",
    });
  }
}
