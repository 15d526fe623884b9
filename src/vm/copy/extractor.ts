import { randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { setAttrSync } from "fs-native-extensions";
import { Malformed, type TarEntry, type TarHandler } from "../../rootfs/index.js";
import type { HalfMade } from "../../store/index.js";
import { staysInside } from "./link-target.js";
import { Place } from "./place.js";

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY } = constants;
/** What the names begin with of things that are not complete yet; nobody could guess the rest. */
export const BESIDE = ".supermachine-";
/** Set-user-ID and set-group-ID. */
const SET_ID = 0o6000;
const MAX_ENTRIES = 4_000_000;
const MAX_LISTED = 1_000;
const UNSUPPORTED: readonly unknown[] = ["ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EPERM"];

/** What of a guest's files is kept that could mean something to this machine. */
export interface ExtractOptions {
  /** Gives the files to the users that they have in the guest, by number; only root can. */
  preserveOwner?: boolean;
  /** Keeps set-user-ID, set-group-ID and capabilities. */
  keepSetuid?: boolean;
  /** Keeps symbolic links that lead out of the copied tree. */
  keepOutsideLinks?: boolean;
}

/** Why a file was left out. */
export type SkipReason = "device" | "pipe" | "outside link";

/** What became of an archive. The lists name the first thousand. */
export interface Extracted {
  files: number;
  bytes: number;
  /** What was left out. */
  skipped: { path: string; reason: SkipReason }[];
  /** What would have run as somebody else; the bits were taken away unless they were to be kept. */
  setuid: string[];
}

/** A file whose content is coming. */
interface OpenFile {
  entry: TarEntry;
  parts: string[];
  fd: number;
  position: number;
  /** Its name until it is complete, when it replaces something. */
  beside: string[] | undefined;
}

/** Makes the files of an archive that a guest wrote, below one folder and nowhere else. */
export class Extractor implements TarHandler, Disposable {
  readonly result: Extracted = { files: 0, bytes: 0, skipped: [], setuid: [] };
  readonly #place: Place;
  readonly #options: ExtractOptions;
  /** Folders get their attributes at the end: until then they must be open to us, and their times change. */
  readonly #folders: { parts: string[]; entry: TarEntry }[] = [];
  readonly #isNew: boolean;
  readonly #top: Buffer;
  readonly #halfMade: HalfMade | undefined;
  #file: OpenFile | undefined;

  /**
   * @param isNew whether the folder gets the attributes of the archive's own top
   * @param halfMade is told of what is made beside its place
   */
  constructor(folder: string, isNew: boolean, options: ExtractOptions, halfMade?: HalfMade) {
    this.#top = Buffer.from(folder);
    this.#place = new Place(this.#top);
    this.#options = options;
    this.#isNew = isNew;
    this.#halfMade = halfMade;
  }

  entry(entry: TarEntry): void {
    if (++this.result.files > MAX_ENTRIES) throw new Malformed(`there are more than ${MAX_ENTRIES} files`);
    const parts = this.#place.parts(entry.name);
    if (parts.length === 0) {
      if (entry.type !== "directory") throw new Malformed("the top is no folder");
      this.result.files--;
      if (this.#isNew) this.#folders.push({ parts, entry });
    } else if (entry.type === "directory") this.#makeFolder(parts, entry);
    else if (entry.type === "file") this.#beginFile(parts, entry);
    else if (entry.type === "hardlink") this.#link(parts, entry);
    else if (entry.type === "symlink") this.#symlink(parts, entry);
    else this.#skip(parts, entry.type === "fifo" ? "pipe" : "device");
  }

  data(bytes: Buffer): void {
    const file = this.#file;
    if (!file) return;
    for (let done = 0; done < bytes.length; ) {
      const count = writeSync(file.fd, bytes, done, bytes.length - done, file.position);
      done += count;
      file.position += count;
    }
    this.result.bytes += bytes.length;
  }

  hole(length: number): void {
    if (this.#file) this.#file.position += length;
  }

  end(): void {
    const file = this.#file;
    if (!file) return;
    ftruncateSync(file.fd, file.entry.size);
    this.#setAttributes(file.fd, file.parts, file.entry);
    closeSync(file.fd);
    this.#file = undefined;
    if (file.beside) renameSync(this.#place.path(file.beside), this.#place.path(file.parts));
  }

  /** Gives the folders their attributes, the deepest first. */
  finish(): void {
    for (const { parts, entry } of this.#folders.reverse()) {
      const fd = openSync(this.#place.path(parts), O_RDONLY | O_DIRECTORY | (parts.length > 0 ? O_NOFOLLOW : 0));
      try {
        this.#setAttributes(fd, parts, entry);
      } finally {
        closeSync(fd);
      }
    }
  }

  /** What is half made is removed. */
  [Symbol.dispose](): void {
    if (this.#file) {
      closeSync(this.#file.fd);
      rmSync(this.#place.path(this.#file.beside ?? this.#file.parts), { force: true });
    }
    this.#place[Symbol.dispose]();
  }

  #makeFolder(parts: string[], entry: TarEntry): void {
    const path = this.#place.path(parts);
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      if (!isExisting(error)) throw error;
      if (!lstatSync(path).isDirectory()) throw new Malformed("what is there is no folder, and is not replaced by one");
      // It may be closed to us; it gets its own mode in the end.
      chmodSync(path, lstatSync(path).mode | 0o700);
    }
    this.#folders.push({ parts, entry });
  }

  #beginFile(parts: string[], entry: TarEntry): void {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const place = this.#place.path(parts);
    try {
      this.#file = { entry, parts, fd: openSync(place, flags, 0o600), position: 0, beside: undefined };
    } catch (error) {
      if (!isExisting(error)) throw error;
      const beside = this.#beside(parts);
      this.#file = { entry, parts, fd: openSync(this.#place.path(beside), flags, 0o600), position: 0, beside };
    }
  }

  #link(parts: string[], entry: TarEntry): void {
    const target = this.#place.parts(entry.linkName);
    // Two folders are open at a time only for this moment, so the first path is one of a descriptor that stays.
    using other = new Place(this.#place.path([]));
    this.#putInPlace(parts, (path) => linkSync(other.path(target), path));
  }

  #symlink(parts: string[], entry: TarEntry): void {
    if (!this.#options.keepOutsideLinks && !staysInside(parts.length - 1, entry.linkName)) {
      this.#skip(parts, "outside link");
      return;
    }
    const place = this.#putInPlace(parts, (path) => symlinkSync(Buffer.from(entry.linkName, "latin1"), path));
    if (this.#options.preserveOwner) lchownSync(place, entry.uid, entry.gid);
    lutimesSync(place, timeOf(entry), timeOf(entry));
  }

  /** Makes what replaces something beside its place. */
  #putInPlace(parts: string[], make: (path: Buffer) => void): Buffer {
    const place = this.#place.path(parts);
    try {
      make(place);
    } catch (error) {
      if (!isExisting(error)) throw error;
      const beside = this.#place.path(this.#beside(parts));
      make(beside);
      renameSync(beside, place);
      // Two names of one file are left as they are by a rename.
      rmSync(beside, { force: true });
    }
    return place;
  }

  #beside(parts: string[]): string[] {
    if (lstatSync(this.#place.path(parts)).isDirectory()) throw new Malformed("it would replace a folder");
    const beside = [...parts.slice(0, -1), `${BESIDE}${randomUUID()}`];
    this.#halfMade?.at(Buffer.concat([this.#top, Buffer.from(`/${beside.join("/")}`, "latin1")]));
    return beside;
  }

  #setAttributes(fd: number, parts: string[], entry: TarEntry): void {
    const { preserveOwner, keepSetuid } = this.#options;
    if (preserveOwner) fchownSync(fd, entry.uid, entry.gid);
    const isSetId = (entry.mode & SET_ID) !== 0 || entry.xattrs?.has("security.capability");
    if (isSetId && this.result.setuid.length < MAX_LISTED) this.result.setuid.push(shown(parts));
    fchmodSync(fd, keepSetuid ? entry.mode : entry.mode & ~SET_ID);
    for (const [name, value] of entry.xattrs ?? []) {
      const isWanted = /^(user\.|system\.posix_acl_)/.test(name) || (keepSetuid && name === "security.capability");
      if (isWanted) setAttribute(fd, name, value);
    }
    futimesSync(fd, timeOf(entry), timeOf(entry));
  }

  #skip(parts: string[], reason: SkipReason): void {
    this.result.files--;
    if (this.result.skipped.length < MAX_LISTED) this.result.skipped.push({ path: shown(parts), reason });
  }
}

/** Node takes seconds and cuts them to microseconds: to the middle of one, so that rounding cannot make it the one before. */
function timeOf({ mtimeSeconds, mtimeNanoseconds }: TarEntry): number {
  return mtimeSeconds + (Math.floor(mtimeNanoseconds / 1000) + 0.5) / 1e6;
}

function shown(parts: readonly string[]): string {
  return Buffer.from(parts.join("/"), "latin1").toString("utf8");
}

/** Not every file system of a host keeps them. */
function setAttribute(fd: number, name: string, value: Buffer): void {
  try {
    setAttrSync(fd, name, value);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && UNSUPPORTED.includes(error.code))) throw error;
  }
}

function isExisting(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EEXIST";
}
