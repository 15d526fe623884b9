import { closeSync, openSync, readSync } from "node:fs";
import { ContentDigest, finishListing, formatMtime, type ListedNode, type Listing } from "./tree-listing.js";

// Written from the kernel's description of the format (Documentation/filesystems/erofs.rst), and shares nothing with the
// writer under test.
const BLOCK = 4096;
/** By the upper four bits of the mode. */
const TYPES: Record<number, ListedNode["type"]> = {
  1: "fifo",
  2: "char",
  4: "directory",
  6: "block",
  8: "file",
  10: "symlink",
  12: "socket",
};
const DIRENT_TYPES: Record<number, ListedNode["type"]> = {
  1: "file",
  2: "directory",
  3: "char",
  4: "block",
  5: "fifo",
  6: "socket",
  7: "symlink",
};
const XATTR_PREFIXES: Record<number, string> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
};

interface Inode {
  nid: number;
  node: ListedNode;
  size: number;
  layout: number;
  union: number;
  /** Where the content's tail or the chunk map is. */
  following: number;
}

/** Walks an EROFS image as the kernel would and lists what is in it. Throws where the kernel would refuse. */
export function readErofs(path: string): Listing {
  const file = openSync(path, "r");
  try {
    return new Reader(file).list();
  } finally {
    closeSync(file);
  }
}

/** The content of one regular file of an image. */
export function readErofsFile(path: string, name: string): Buffer {
  const file = openSync(path, "r");
  try {
    return new Reader(file).content(name);
  } finally {
    closeSync(file);
  }
}

class Reader {
  readonly #file: number;
  readonly #rootNid: number;
  readonly #xattrBlock: number;
  readonly #inodes = new Map<number, Inode>();

  constructor(file: number) {
    this.#file = file;
    const superblock = this.#read(1024, 128);
    expect(superblock.readUInt32LE(0) === 0xe0f5e1e2, "magic");
    expect(superblock.readUInt8(12) === 12, "block size");
    expect(superblock.readUInt32LE(40) === 0, "metadata start");
    this.#rootNid = superblock.readUInt16LE(14);
    this.#xattrBlock = superblock.readUInt32LE(44);
  }

  list(): Listing {
    const nodes: [string, string, ListedNode][] = [];
    const walk = (path: string, nid: number, parent: number) => {
      const inode = this.#inode(nid);
      nodes.push([path === "" ? "." : path, String(nid), inode.node]);
      if (inode.node.type !== "directory") return;
      const names = this.#names(inode);
      expect(names.find(({ name }) => name === ".")?.nid === nid, `"." of ${path}`);
      expect(names.find(({ name }) => name === "..")?.nid === parent, `".." of ${path}`);
      let subdirectories = 0;
      for (const { name, nid: child, type } of names) {
        if (name === "." || name === "..") continue;
        const childPath = path === "" ? name : `${path}/${name}`;
        expect(DIRENT_TYPES[type] === this.#inode(child).node.type, `type of ${childPath}`);
        if (type === 2) subdirectories++;
        walk(childPath, child, nid);
      }
      expect(inode.node.nlink === subdirectories + 2, `link count of ${path}`);
    };
    walk("", this.#rootNid, this.#rootNid);
    return finishListing(nodes);
  }

  content(path: string): Buffer {
    let nid = this.#rootNid;
    for (const name of path.split("/")) {
      const found = this.#names(this.#inode(nid)).find((each) => each.name === name);
      if (!found) throw new Error(`${path} is not in the image`);
      nid = found.nid;
    }
    return Buffer.concat([...this.#blocks(this.#inode(nid))].map(({ bytes, length }) => bytes ?? Buffer.alloc(length)));
  }

  #inode(nid: number): Inode {
    const known = this.#inodes.get(nid);
    if (known) return known;
    const at = nid * 32;
    const raw = this.#read(at, 64);
    const format = raw.readUInt16LE(0);
    expect((format & 1) === 1, `extended inode ${nid}`);
    const mode = raw.readUInt16LE(4);
    const type = TYPES[mode >> 12];
    if (!type) throw new Error(`EROFS: inode ${nid} has mode ${mode.toString(8)}`);
    const size = Number(raw.readBigUInt64LE(8));
    const xattrCount = raw.readUInt16LE(2);
    const xattrSize = xattrCount === 0 ? 0 : 12 + 4 * (xattrCount - 1);
    const inode: Inode = {
      nid,
      size,
      layout: (format >> 1) & 7,
      union: raw.readUInt32LE(16),
      following: at + 64 + xattrSize,
      node: {
        type,
        mode: (mode & 0o7777).toString(8),
        uid: raw.readUInt32LE(24),
        gid: raw.readUInt32LE(28),
        mtime: formatMtime(raw.readBigInt64LE(32), raw.readUInt32LE(40)),
        nlink: raw.readUInt32LE(44),
      },
    };
    const xattrs = xattrSize === 0 ? {} : this.#xattrs(at + 64, xattrSize);
    if (Object.keys(xattrs).length > 0) inode.node.xattrs = xattrs;
    if (type === "file") this.#addContent(inode);
    if (type === "symlink") inode.node.target = this.#small(inode).toString("latin1");
    if (type === "char" || type === "block") inode.node.device = deviceNumber(inode.union);
    this.#inodes.set(nid, inode);
    return inode;
  }

  #addContent(inode: Inode): void {
    const digest = new ContentDigest();
    for (const { offset, bytes } of this.#blocks(inode)) {
      for (let at = 0; bytes && at < bytes.length; at += BLOCK)
        digest.block(offset + at, bytes.subarray(at, at + BLOCK));
    }
    inode.node.size = inode.size;
    inode.node.content = digest.value(inode.size);
  }

  #small(inode: Inode): Buffer {
    return Buffer.concat([...this.#blocks(inode)].map(({ bytes, length }) => bytes ?? Buffer.alloc(length)));
  }

  *#blocks(inode: Inode): Generator<{ offset: number; length: number; bytes: Buffer | undefined }> {
    if (inode.layout === 4) {
      yield* this.#chunks(inode);
      return;
    }
    expect(inode.layout === 0 || inode.layout === 2, `layout of inode ${inode.nid}`);
    const inline = inode.layout === 2;
    const tail = inode.size % BLOCK || (inode.size > 0 ? BLOCK : 0);
    const inBlocks = inline ? inode.size - tail : inode.size;
    const step = 1024 * BLOCK;
    for (let offset = 0; offset < inBlocks; offset += step) {
      const length = Math.min(step, inBlocks - offset);
      yield { offset, length, bytes: this.#read(inode.union * BLOCK + offset, length) };
    }
    if (!inline) return;
    expect((inode.following % BLOCK) + tail <= BLOCK, `tail of inode ${inode.nid} within a block`);
    yield { offset: inBlocks, length: tail, bytes: this.#read(inode.following, tail) };
  }

  *#chunks(inode: Inode): Generator<{ offset: number; length: number; bytes: Buffer | undefined }> {
    expect((inode.union & ~0x1f) === 0, `chunk format of inode ${inode.nid}`);
    const chunkSize = BLOCK * 2 ** (inode.union & 0x1f);
    const count = Math.ceil(inode.size / chunkSize);
    const map = this.#read(inode.following, count * 4);
    for (let i = 0; i < count; i++) {
      const offset = i * chunkSize;
      const length = Math.min(chunkSize, inode.size - offset);
      const block = map.readUInt32LE(i * 4);
      yield { offset, length, bytes: block === 0xffffffff ? undefined : this.#read(block * BLOCK, length) };
    }
  }

  #names(inode: Inode): { name: string; nid: number; type: number }[] {
    const names: { name: string; nid: number; type: number }[] = [];
    const all = this.#small(inode);
    for (let at = 0; at < all.length; at += BLOCK) names.push(...parseDirectoryBlock(all.subarray(at, at + BLOCK)));
    for (let i = 1; i < names.length; i++) {
      expect((names[i - 1]?.name ?? "") < (names[i]?.name ?? ""), `order of ${names[i]?.name}`);
    }
    return names;
  }

  #xattrs(at: number, size: number): Record<string, string> {
    const body = this.#read(at, size);
    const found: Record<string, string> = {};
    const shared = body.readUInt8(4);
    for (let i = 0; i < shared; i++) {
      const position = this.#xattrBlock * BLOCK + 4 * body.readUInt32LE(12 + 4 * i);
      const { name, value } = this.#xattr(this.#read(position, 4), position);
      found[name] = value;
    }
    for (let offset = 12 + 4 * shared; offset < size; ) {
      const { name, value, length } = this.#xattr(body.subarray(offset, offset + 4), at + offset);
      found[name] = value;
      offset += Math.ceil(length / 4) * 4;
    }
    return found;
  }

  #xattr(header: Buffer, position: number): { name: string; value: string; length: number } {
    const nameLength = header.readUInt8(0);
    const length = 4 + nameLength + header.readUInt16LE(2);
    const entry = this.#read(position, length);
    const prefix = XATTR_PREFIXES[header.readUInt8(1)];
    if (prefix === undefined) throw new Error(`EROFS: xattr prefix ${header.readUInt8(1)}`);
    const name = prefix + entry.toString("latin1", 4, 4 + nameLength);
    return { name, value: entry.toString("hex", 4 + nameLength), length };
  }

  #read(position: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    expect(readSync(this.#file, bytes, 0, length, position) === length, `${length} bytes at ${position}`);
    return bytes;
  }
}

function parseDirectoryBlock(block: Buffer): { name: string; nid: number; type: number }[] {
  const first = block.readUInt16LE(8);
  expect(first >= 12 && first % 12 === 0, "first name's offset");
  const count = first / 12;
  return Array.from({ length: count }, (_, i) => {
    const at = i * 12;
    const start = block.readUInt16LE(at + 8);
    const end = i + 1 < count ? block.readUInt16LE(at + 20) : block.length;
    const name = block.toString("latin1", start, end).replace(/\0.*$/s, "");
    expect(name !== "" && name.length <= 255, "name in a directory");
    return { name, nid: Number(block.readBigUInt64LE(at)), type: block.readUInt8(at + 10) };
  });
}

function deviceNumber(encoded: number): string {
  return `${(encoded >> 8) & 0xfff}:${(encoded & 0xff) | ((encoded >>> 12) & 0xfff00)}`;
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(`EROFS: wrong ${what}`);
}
