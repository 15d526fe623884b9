import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  read,
  readdirSync,
  readlinkSync,
  readSync,
  statSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import { CopyError } from "../../errors.js";
import { type Attributes, type Directory, ErofsWriter, type Leaf } from "../erofs/index.js";
import { Malformed, printable } from "../malformed.js";
import { type Exclude, excluder } from "./exclude.js";
import { hostAttributes, hostXattrs } from "./host-attributes.js";

/** What the image calls a source that is no folder. */
export const CONTENT_NAME = "content";

/** Small files are read at once: a promise for each would take longer than reading it. */
const AT_ONCE = 256 * 1024;
const PIECE = 1024 * 1024;
/** For so long nothing else in this process has its turn. */
const SLICE_MS = 8;
const MAX_NAMES = 16_000_000;
/** A device's number, as Linux has it in `st_rdev`. */
const major = (device: bigint) => Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn));
const minor = (device: bigint) => Number((device & 0xffn) | ((device >> 12n) & ~0xffn));

/** How far a folder's image is. */
export interface FolderFigures {
  files: number;
  bytes: number;
}

/** Options of {@link writeFolderImage}. */
export interface FolderImageOptions {
  /** Copies what symbolic links lead to instead of the links. */
  followSymlinks?: boolean | undefined;
  exclude?: Exclude | undefined;
  /** Is told now and then how much has been read. */
  onProgress?: ((figures: FolderFigures) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** An image as {@link writeFolderImage} wrote it. */
export interface FolderImage extends FolderFigures {
  /** Whether any file has extended attributes. */
  hasXattrs: boolean;
}

/**
 * Writes a folder of this machine with all below it as an EROFS image; anything else becomes its only entry, {@link CONTENT_NAME}. Owners,
 * modes, times, extended attributes, links and devices are kept, holes are not stored; sockets are left out. What stays in memory
 * grows with the number of names only.
 *
 * @throws CopyError when something cannot be read or is changed meanwhile
 */
export async function writeFolderImage(
  source: string,
  output: string,
  options: FolderImageOptions = {},
): Promise<FolderImage> {
  const writer = await ErofsWriter.create(output, { checksum: false });
  try {
    const image = new FolderWriter(writer, options);
    const root = await image.write(Buffer.from(source));
    await writer.finish(root, { uuid: Buffer.alloc(16), volumeName: "" });
    return image.figures;
  } catch (error) {
    await writer.abandon();
    await rm(output, { force: true });
    throw error;
  }
}

const SLASH = Buffer.from("/");
const readAsync = promisify(read);

class FolderWriter {
  readonly #writer: ErofsWriter;
  readonly #options: FolderImageOptions;
  readonly #isExcluded: (path: string, isFolder: boolean) => boolean;
  /** Files with several names, by device and inode. */
  readonly #linked = new Map<string, Leaf>();
  readonly #buffer = Buffer.allocUnsafeSlow(PIECE);
  #sliceEnd = performance.now() + SLICE_MS;
  #names = 0;
  readonly figures: FolderImage = { files: 0, bytes: 0, hasXattrs: false };

  constructor(writer: ErofsWriter, options: FolderImageOptions) {
    this.#writer = writer;
    this.#options = options;
    this.#isExcluded = excluder(options.exclude);
  }

  async write(source: Buffer): Promise<Directory> {
    const follows = this.#options.followSymlinks || /\/\.?$/.test(source.toString("latin1"));
    const stat = named(source, () => (follows ? statSync : lstatSync)(source, { bigint: true }));
    if (stat.isDirectory()) return this.#folder(source, "", stat, undefined, []);
    const attributes = { ...hostAttributes(stat), mode: 0o755, xattrs: undefined };
    const root: Directory = { type: "directory", attributes, children: new Map(), parent: undefined };
    await this.#leaf(source, CONTENT_NAME, stat, root);
    return root;
  }

  async #folder(
    path: Buffer,
    shown: string,
    stat: BigIntStats,
    parent: Directory | undefined,
    above: readonly string[],
  ): Promise<Directory> {
    const id = `${stat.dev}:${stat.ino}`;
    if (above.includes(id))
      throw new CopyError(`${printable(path.toString())} leads to a folder above it`, { path: path.toString() });
    const directory: Directory = {
      type: "directory",
      attributes: this.#folderAttributes(path, stat),
      children: new Map(),
      parent,
    };
    const names = named(path, () => readdirSync(path, { encoding: "buffer" }));
    this.#names += names.length;
    if (this.#names > MAX_NAMES) throw new CopyError(`there are more than ${MAX_NAMES} files to copy`, { path: shown });
    for (const name of names) {
      const child = Buffer.concat([path, SLASH, name]);
      const below = shown === "" ? name.toString() : `${shown}/${name.toString()}`;
      await this.#entry(child, name.toString("latin1"), below, directory, [...above, id]);
      if (performance.now() > this.#sliceEnd) await this.#pause();
    }
    return directory;
  }

  async #entry(path: Buffer, name: string, shown: string, parent: Directory, above: readonly string[]): Promise<void> {
    const stat = named(path, () => (this.#options.followSymlinks ? statSync : lstatSync)(path, { bigint: true }));
    if (this.#isExcluded(shown, stat.isDirectory())) return;
    if (stat.isDirectory()) {
      parent.children.set(name, await this.#folder(path, shown, stat, parent, above));
      this.figures.files++;
    } else {
      await this.#leaf(path, name, stat, parent);
    }
  }

  async #leaf(path: Buffer, name: string, stat: BigIntStats, parent: Directory): Promise<void> {
    if (stat.isSocket()) return;
    const id = `${stat.dev}:${stat.ino}`;
    const known = stat.nlink > 1n ? this.#linked.get(id) : undefined;
    if (known) this.#writer.link(known, 1);
    const leaf = known ?? (await this.#newLeaf(path, stat));
    if (!known && stat.nlink > 1n) this.#linked.set(id, leaf);
    parent.children.set(name, leaf);
    this.figures.files++;
  }

  async #newLeaf(path: Buffer, stat: BigIntStats): Promise<Leaf> {
    if (stat.isFile()) return this.#file(path);
    return named(path, () => {
      const attributes = hostAttributes(stat);
      if (stat.isSymbolicLink()) {
        const target = readlinkSync(path, { encoding: "buffer" }).toString("latin1");
        return this.#writer.addSymlink({ ...attributes, mode: 0o777 }, target);
      }
      if (stat.isFIFO()) return this.#writer.addSpecial("fifo", attributes);
      const type = stat.isBlockDevice() ? "block" : "char";
      return this.#writer.addSpecial(type, attributes, major(stat.rdev), minor(stat.rdev));
    });
  }

  async #file(path: Buffer): Promise<Leaf> {
    const noFollow = this.#options.followSymlinks ? 0 : constants.O_NOFOLLOW;
    const fd = named(path, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | noFollow));
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isFile()) throw changed(path);
      const size = Number(stat.size);
      const attributes = named(path, () => hostAttributes(stat, this.#xattrs(fd)));
      const content = this.#writer.beginFile(size);
      for (let position = 0; position < size; ) {
        const length = Math.min(PIECE, size - position);
        const count =
          size <= AT_ONCE
            ? readSync(fd, this.#buffer, 0, length, position)
            : (await readAsync(fd, this.#buffer, 0, length, position)).bytesRead;
        if (count === 0) throw changed(path);
        content.data(this.#buffer.subarray(0, count));
        position += count;
        this.figures.bytes += count;
        if (size > AT_ONCE) await this.#pause();
      }
      return named(path, () => this.#writer.addFile(attributes, size, content));
    } catch (error) {
      throw asCopyError(path, error);
    } finally {
      closeSync(fd);
    }
  }

  #folderAttributes(path: Buffer, stat: BigIntStats): Attributes {
    return named(path, () => {
      const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        return hostAttributes(stat, this.#xattrs(fd));
      } finally {
        closeSync(fd);
      }
    });
  }

  #xattrs(fd: number): ReadonlyMap<string, Buffer> | undefined {
    const xattrs = hostXattrs(fd);
    if (xattrs) this.figures.hasXattrs = true;
    return xattrs;
  }

  /** Everything else in this process has its turn, and the disk may catch up. */
  async #pause(): Promise<void> {
    this.#options.signal?.throwIfAborted();
    await this.#writer.drain();
    if (performance.now() < this.#sliceEnd) return;
    this.#options.onProgress?.({ files: this.figures.files, bytes: this.figures.bytes });
    await turn();
    this.#sliceEnd = performance.now() + SLICE_MS;
  }
}

/** Does something with a file of this machine, and names it in the error. */
function named<T>(path: Buffer, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asCopyError(path, error);
  }
}

function asCopyError(path: Buffer, cause: unknown): unknown {
  const isOurs = cause instanceof Malformed || (cause instanceof Error && "syscall" in cause);
  if (!isOurs || (cause as NodeJS.ErrnoException).code === "ENOSPC") return cause;
  const shown = path.toString();
  return new CopyError(`${printable(shown)} cannot be copied: ${cause.message}`, { cause, path: shown });
}

function changed(path: Buffer): CopyError {
  const shown = path.toString();
  return new CopyError(`${printable(shown)} was changed while it was copied`, { path: shown, hint: "Copy it again." });
}
