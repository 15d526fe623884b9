import { Malformed } from "../malformed.js";
import { DirectoryTableWriter } from "./directory-table.js";
import { appendTail, FileContent } from "./file-content.js";
import {
  type Attributes,
  BLOCK_SIZE,
  encodeDevice,
  INODE_SIZE,
  type InodeFields,
  LAYOUT,
  linksPosition,
  SLOT_SIZE,
  writeInode,
  writeSuperblock,
} from "./format.js";
import { MetadataArea } from "./metadata-area.js";
import type { Directory, Leaf } from "./node.js";
import { OutputFile } from "./output-file.js";
import { encodeXattrs } from "./xattr.js";

/** Linux accepts no longer target of a symbolic link. */
const MAX_TARGET = 4095;
/** Block numbers have 32 bits, of which the highest value means "hole". */
const MAX_IMAGE_SIZE = (2 ** 32 - 2) * BLOCK_SIZE;
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;

/** The link count that an inode is written with, before it is known how many there are. */
const FIRST_LINKS = 1;
const NO_BYTES = Buffer.alloc(0);

/** Facts about an image that only its maker knows. */
export interface ImageIdentity {
  /** 16 bytes. */
  uuid: Uint8Array;
  /** At most 16 bytes of ASCII. */
  volumeName: string;
}

/**
 * Writes an EROFS image in one pass: files, links and devices as they come, directories at the end. What stays in memory
 * grows with the number of names and never with the content. The same calls give the same bytes.
 *
 * Linux 5.15 and later can mount the result.
 */
export class ErofsWriter {
  readonly #out: OutputFile;
  readonly #metadata: MetadataArea;
  readonly #linked = new Set<Leaf>();
  #inodes = 0;
  #hasChunks = false;

  private constructor(out: OutputFile) {
    this.#out = out;
    // The first block is for the superblock and the root directory's inode, and is written last.
    out.skip(BLOCK_SIZE);
    this.#metadata = new MetadataArea(out);
  }

  /** Begins an image at `path`; what was there is gone. One that nobody verifies later can do without `checksum`. */
  static async create(path: string, options: { checksum?: boolean } = {}): Promise<ErofsWriter> {
    return new ErofsWriter(await OutputFile.create(path, options));
  }

  /** Begins the content of a regular file; give all of it, then call {@link addFile}. */
  beginFile(size: number): FileContent {
    return new FileContent(this.#out, size);
  }

  /** Adds the regular file whose content is complete. */
  addFile(attributes: Attributes, size: number, content: FileContent): Leaf {
    const stored = content.finish();
    if (this.#out.position > MAX_IMAGE_SIZE) throw new Malformed("the layer is larger than 16 TiB");
    if (stored.kind === "flat") return this.#addFlat("file", attributes, size, stored.firstBlock, stored.tail);
    this.#hasChunks = true;
    const nid = this.#place(
      { type: "file", attributes, layout: LAYOUT.chunkBased, size, union: stored.format },
      stored.map,
    );
    return { type: "file", nid, links: 1 };
  }

  /** Adds a symbolic link; `target` has one character per byte. */
  addSymlink(attributes: Attributes, target: string): Leaf {
    if (target === "") throw new Malformed("it is a symbolic link without a target");
    if (target.length > MAX_TARGET) throw new Malformed(`its target is longer than ${MAX_TARGET} bytes`);
    const leaf = this.#addFlat("symlink", attributes, target.length, 0, Buffer.from(target, "latin1"));
    return { ...leaf, target };
  }

  /** Adds a device or a fifo. */
  addSpecial(type: "char" | "block" | "fifo", attributes: Attributes, major = 0, minor = 0): Leaf {
    if (major < 0 || major > MAX_MAJOR || minor < 0 || minor > MAX_MINOR) {
      throw new Malformed(`Linux has no device ${major}:${minor}`);
    }
    const union = encodeDevice(major, minor);
    const nid = this.#place({ type, attributes, layout: LAYOUT.flatPlain, size: 0, union }, NO_BYTES);
    return { type, nid, links: 1 };
  }

  /** Adds (1) or takes away (-1) a name of an inode. */
  link(leaf: Leaf, change: 1 | -1): void {
    leaf.links += change;
    this.#linked.add(leaf);
  }

  /** Lets the disk catch up; to be awaited now and then. */
  drain(): Promise<void> {
    return this.#out.drain();
  }

  /** Writes the directories and completes the image; gives its size in bytes. */
  async finish(root: Directory, identity: ImageIdentity): Promise<number> {
    const table = new DirectoryTableWriter(this.#out, this.#metadata, this.#inodes);
    const written = await table.write(root);
    this.#metadata.close();
    await this.#out.flushed();
    this.#patchLinks();
    const size = Math.ceil(this.#out.position / BLOCK_SIZE) * BLOCK_SIZE;
    if (size > MAX_IMAGE_SIZE) throw new Malformed("the layer is larger than 16 TiB");
    writeSuperblock(written.firstBlock, {
      rootNid: written.rootNid,
      inodes: this.#inodes + written.directories,
      blocks: size / BLOCK_SIZE,
      xattrBlock: written.xattrBlock,
      hasChunks: this.#hasChunks,
      contentChecksum: this.#out.checksum(size),
      ...identity,
    });
    this.#out.writeAt(0, written.firstBlock);
    await this.#out.finish(size);
    return size;
  }

  /** Gives up: closes the file, which stays as it is. */
  abandon(): Promise<void> {
    return this.#out.abandon();
  }

  /** Content in a row, of which the end lies behind the inode if there is room in the inode's block. */
  #addFlat(type: "file" | "symlink", attributes: Attributes, size: number, firstBlock: number, tail: Buffer): Leaf {
    const xattrs = encodeXattrs(attributes.xattrs);
    const inline = tail.length > 0 && INODE_SIZE + xattrs.length + tail.length <= BLOCK_SIZE;
    let union = firstBlock;
    if (tail.length > 0 && !inline) {
      const tailBlock = appendTail(this.#out, tail);
      if (size === tail.length) union = tailBlock;
    }
    const layout = inline ? LAYOUT.flatInline : LAYOUT.flatPlain;
    const nid = this.#place({ type, attributes, layout, size, union }, inline ? tail : NO_BYTES, xattrs);
    return { type, nid, links: 1 };
  }

  /** Puts an inode, its attributes and what follows them into one block, or into blocks of their own if too large. */
  #place(
    fields: Omit<InodeFields, "xattrSize" | "number" | "links">,
    following: Buffer,
    xattrs = encodeXattrs(fields.attributes.xattrs),
  ): number {
    const size = INODE_SIZE + xattrs.length + following.length;
    const inode = { ...fields, xattrSize: xattrs.length, number: ++this.#inodes, links: FIRST_LINKS };
    if (size <= BLOCK_SIZE) {
      const { nid, buffer, offset } = this.#metadata.place(size);
      writeInode(buffer, offset, inode);
      xattrs.copy(buffer, offset + INODE_SIZE);
      following.copy(buffer, offset + INODE_SIZE + xattrs.length);
      return nid;
    }
    const nid = this.#out.position / SLOT_SIZE;
    const bytes = Buffer.alloc(Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE);
    writeInode(bytes, 0, inode);
    xattrs.copy(bytes, INODE_SIZE);
    following.copy(bytes, INODE_SIZE + xattrs.length);
    this.#out.append(bytes);
    return nid;
  }

  #patchLinks(): void {
    for (const leaf of this.#linked) {
      if (leaf.links === 0) this.#inodes--;
      const [bytes, change] = [Buffer.alloc(4), Buffer.alloc(4)];
      bytes.writeUInt32LE(leaf.links);
      change.writeUInt32LE((leaf.links ^ FIRST_LINKS) >>> 0);
      this.#out.overwrite(linksPosition(leaf.nid), bytes, change);
    }
  }
}
