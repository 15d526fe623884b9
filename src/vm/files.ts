import type { Readable, Writable } from "node:stream";
import { GuestFileError, UsageError } from "../errors.js";
import type { FileInfo, FileWatcher, GuestFiles } from "../guest/index.js";
import { guestPath } from "./guest-path.js";

/** More than this is listed by {@link VmFiles.walk}, which keeps nothing. */
const LIST_MAX = 1_000_000;

/** How `vm.writeFile` writes. */
export interface WriteFileOptions {
  /** Permission bits; by default those of the file that is there, else 0o644. */
  mode?: number;
  /** Owner, as in `user` of a command; by default that of the file that is there, else root. */
  user?: string;
  /** Makes missing folders on the way. */
  createParents?: boolean;
  signal?: AbortSignal;
}

interface Abortable {
  signal?: AbortSignal;
}

/** How {@link VmFiles.createWriteStream} writes. */
export interface WriteStreamOptions extends Abortable {
  /** `w` (default) replaces the file at the end of the stream, `a` appends to it, `r+` writes over a part of it. */
  flags?: "w" | "a" | "r+";
  /** Where `r+` begins, in bytes. */
  start?: number;
  /** Permission bits of a new file; 0o644 by default. */
  mode?: number;
  /** Owner of a new file; root by default. */
  user?: string;
  createParents?: boolean;
}

/**
 * Files of a VM. A relative path starts at the image's working directory. Whatever a path or a link says, it stays within the guest.
 * All methods reject with GuestFileError (`errno` is the guest's) or VmError.
 */
export class VmFiles {
  readonly #guest: GuestFiles;
  readonly #workdir: string;

  constructor(guest: GuestFiles, workdir: string) {
    this.#guest = guest;
    this.#workdir = workdir;
  }

  /** What a folder holds, sorted by name; with `recursive`, all below it. */
  async list(path: string, options: Abortable & { recursive?: boolean } = {}): Promise<FileInfo[]> {
    const found: FileInfo[] = [];
    for await (const info of this.walk(path, options)) {
      if (found.length === LIST_MAX) {
        const details = { errno: "EFBIG", path, hint: "Use walk(), which gives them one by one." };
        throw new GuestFileError(`${path} in the guest holds more than ${LIST_MAX} files`, details);
      }
      found.push(info);
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The same one by one, as they come and in no order. */
  walk(path: string, options: Abortable & { recursive?: boolean } = {}): AsyncGenerator<FileInfo> {
    return this.#guest.list(this.#path(path), { ...options, recursive: options.recursive ?? false });
  }

  /** What a path names, through links. */
  stat(path: string, options: Abortable = {}): Promise<FileInfo> {
    return this.#guest.stat(this.#path(path), { ...options, follow: true });
  }

  /** What a path names, be it a link. */
  lstat(path: string, options: Abortable = {}): Promise<FileInfo> {
    return this.#guest.stat(this.#path(path), { ...options, follow: false });
  }

  /** Whether a path names something; a link that leads nowhere does not. */
  async exists(path: string, options: Abortable = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (error instanceof GuestFileError && ["ENOENT", "ENOTDIR"].includes(error.errno)) return false;
      throw error;
    }
  }

  /** Where a link leads, as it is written in it. */
  async readlink(path: string, options: Abortable = {}): Promise<string> {
    const { target } = await this.lstat(path, options);
    if (target !== undefined) return target;
    throw new GuestFileError(`${path} in the guest is no symbolic link`, { errno: "EINVAL", path });
  }

  /** Makes a link at `path` that leads to `target`. */
  symlink(target: string, path: string, options: Abortable = {}): Promise<void> {
    return this.#guest.symlink({ path: this.#path(path), target, ...options });
  }

  /** Makes a folder; with `recursive` those above it too, and it may be there already. */
  mkdir(path: string, options: Abortable & { recursive?: boolean; mode?: number; user?: string } = {}): Promise<void> {
    const { recursive, ...rest } = options;
    return this.#guest.mkdir({ path: this.#path(path), parents: recursive, ...rest });
  }

  /** Removes a file or an empty folder; with `recursive` all below it. `force`: it may be missing. */
  remove(path: string, options: Abortable & { recursive?: boolean; force?: boolean } = {}): Promise<void> {
    return this.#guest.remove({ path: this.#path(path), ...options });
  }

  /** Renames, within one file system, and replaces what has the new name. */
  rename(path: string, newPath: string, options: Abortable = {}): Promise<void> {
    return this.#guest.rename({ path: this.#path(path), target: this.#path(newPath), ...options });
  }

  /** Sets the permission bits; with `recursive` of all below it too, links excepted. */
  chmod(path: string, mode: number, options: Abortable & { recursive?: boolean } = {}): Promise<void> {
    return this.#guest.chmod({ path: this.#path(path), mode, ...options });
  }

  /** Sets the owner (`name`, `uid`, `name:group`, `uid:gid`); with `recursive` of all below it too, of links themselves. */
  chown(path: string, user: string, options: Abortable & { recursive?: boolean } = {}): Promise<void> {
    return this.#guest.chown({ path: this.#path(path), user, ...options });
  }

  /** Tells what happens to a file or in a folder; with `recursive` below it, too. Resolves once nothing is missed any more. */
  watch(path: string, options: Abortable & { recursive?: boolean } = {}): Promise<FileWatcher> {
    return this.#guest.watch(this.#path(path), { ...options, recursive: options.recursive ?? false });
  }

  /** A file as a stream, from byte `start` to byte `end`, both included. */
  createReadStream(path: string, options: Abortable & { start?: number; end?: number } = {}): Readable {
    const { start = 0, end = Infinity, ...rest } = options;
    if (end < start - 1) throw new UsageError(`end is ${end}, before start, which is ${start}`);
    const length = end === Infinity ? {} : { length: end - start + 1 };
    return this.#guest.openRead(this.#path(path), { offset: start, ...length, ...rest });
  }

  /** A stream into a file. What it replaces is there until its end, and stays if the stream is destroyed. */
  createWriteStream(path: string, options: WriteStreamOptions = {}): Writable {
    const { flags = "w", start, ...rest } = options;
    if (start !== undefined && flags !== "r+") throw new UsageError(`start is for the flags r+, not for ${flags}`);
    const inPlace = flags === "a" ? { append: true } : { offset: start ?? 0 };
    return this.#guest.openWrite(this.#path(path), { ...rest, ...(flags !== "w" && { inPlace }) });
  }

  #path(path: string): string {
    return guestPath(this.#workdir, path);
  }
}
