import { Malformed } from "../malformed.js";
import type { TarHeader } from "./header.js";
import { parseDecimal, parseTime } from "./number.js";
import { MAX_PAX_SIZE, PaxFields, parsePaxRecords } from "./pax.js";
import { fromNumbers, parseSparseMapText, type SparseMap } from "./sparse.js";

/** A path of more bytes cannot be given to Linux. */
export const MAX_PATH = 4096;
/** Files of more bytes are refused: EROFS with 4 KiB blocks addresses 16 TiB. */
export const MAX_FILE_SIZE = 2 ** 43;

export type TarEntryType = "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";

/** One entry of an archive, with everything that its headers said. Names have one character per byte (latin1). */
export interface TarEntry {
  type: TarEntryType;
  name: string;
  /** The target of a symbolic or hard link, else "". */
  linkName: string;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of content, holes included; 0 for everything but files. */
  size: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  major: number;
  minor: number;
  xattrs: Map<string, Buffer> | undefined;
}

/** An entry that says nothing, for those that are made here. */
export const BLANK_ENTRY: TarEntry = {
  type: "file",
  name: "",
  linkName: "",
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  major: 0,
  minor: 0,
  xattrs: undefined,
};

/** An entry and how its content is stored. */
export interface AssembledEntry {
  entry: TarEntry;
  /** Bytes in the archive, without padding. */
  stored: number;
  /** Where the stored bytes belong; "leading" when the map precedes them, "header" when it is in the tar header. */
  sparse: SparseMap | "leading" | "header" | undefined;
}

const TYPES: Record<string, TarEntryType> = {
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
  D: "directory",
  S: "file",
};

const META_LIMITS: Record<string, number> = {
  x: MAX_PAX_SIZE,
  X: MAX_PAX_SIZE,
  g: MAX_PAX_SIZE,
  L: MAX_PATH + 1,
  K: MAX_PATH + 1,
  // A volume label has no content to speak of.
  V: MAX_PAX_SIZE,
};

/** How many bytes of payload a header that only describes the next one may have; `undefined` for an entry proper. */
export function metaLimit(type: string): number | undefined {
  return META_LIMITS[type];
}

/** Joins the headers that belong to one entry: PAX (global and own), GNU long names, and the header itself. */
export class EntryAssembler {
  readonly #global = new Map<string, Buffer>();
  #pax: PaxFields | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;

  /** Whether a header that describes a next one has come, and the next one has not. */
  get pending(): boolean {
    return this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined;
  }

  /** Takes the payload of a header that describes the next one. */
  meta(type: string, payload: Buffer): void {
    if (type === "L") this.#longName = untilNul(payload);
    else if (type === "K") this.#longLink = untilNul(payload);
    else if (type === "g")
      for (const { key, value } of parsePaxRecords(payload)) this.#global.set(key, Buffer.from(value));
    else if (type === "x" || type === "X") this.#fields().add(parsePaxRecords(payload));
  }

  /** Takes the header of the entry proper. */
  entry(header: TarHeader, oldGnuSize?: number): AssembledEntry {
    const type = TYPES[header.type];
    if (type === undefined) throw new Malformed(`its type ${JSON.stringify(header.type)} is not known`);
    const pax = this.#pax ?? (this.#global.size > 0 ? this.#fields() : undefined);
    const entry: TarEntry = {
      type,
      name: this.#longName ?? header.name,
      linkName: type === "symlink" || type === "hardlink" ? (this.#longLink ?? header.linkName) : "",
      mode: header.mode & 0o7777,
      uid: header.uid,
      gid: header.gid,
      size: header.size,
      mtimeSeconds: header.mtime,
      mtimeNanoseconds: 0,
      major: header.major,
      minor: header.minor,
      xattrs: undefined,
    };
    if (pax) applyPax(entry, pax);
    const stored = type === "file" || header.type === "D" ? entry.size : 0;
    const sparse = header.type === "S" ? "header" : pax && sparseForm(entry, pax);
    if (oldGnuSize !== undefined) entry.size = oldGnuSize;
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    check(entry, stored);
    return { entry, stored, sparse };
  }

  #fields(): PaxFields {
    this.#pax ??= new PaxFields(this.#global);
    return this.#pax;
  }
}

function applyPax(entry: TarEntry, pax: PaxFields): void {
  entry.name = pax.text("path") ?? entry.name;
  if (entry.linkName !== "" || entry.type === "symlink" || entry.type === "hardlink") {
    entry.linkName = pax.text("linkpath") ?? entry.linkName;
  }
  const number = (key: string, what: string, otherwise: number) => {
    const text = pax.text(key);
    return text === undefined ? otherwise : parseDecimal(text, what);
  };
  entry.size = number("size", "size", entry.size);
  entry.uid = number("uid", "user id", entry.uid);
  entry.gid = number("gid", "group id", entry.gid);
  entry.major = number("SCHILY.devmajor", "device number", entry.major);
  entry.minor = number("SCHILY.devminor", "device number", entry.minor);
  const mtime = pax.text("mtime");
  if (mtime !== undefined) {
    const { seconds, nanoseconds } = parseTime(mtime);
    entry.mtimeSeconds = seconds;
    entry.mtimeNanoseconds = nanoseconds;
  }
  entry.xattrs = pax.xattrs();
}

/** GNU's three PAX notations of sparse files; sets the real name and size. */
function sparseForm(entry: TarEntry, pax: PaxFields): AssembledEntry["sparse"] {
  if (entry.type !== "file") return undefined;
  const text = (key: string) => pax.text(`GNU.sparse.${key}`);
  const realSize = text("realsize") ?? text("size");
  if (realSize === undefined) return undefined;
  const leading = text("major") === "1" && text("minor") === "0";
  const map = text("map");
  if (!leading && map === undefined && text("numblocks") === undefined) {
    throw new Malformed("its sparse format is not known");
  }
  entry.name = text("name") ?? entry.name;
  entry.size = parseDecimal(realSize, "real size");
  if (leading) return "leading";
  return map === undefined ? fromNumbers(pax.sparsePairs) : parseSparseMapText(map);
}

const MAX_ID = 2 ** 32 - 1;

function check(entry: TarEntry, stored: number): void {
  if (entry.name === "") throw new Malformed("it has no name");
  if (entry.name.length > MAX_PATH) throw new Malformed(`its name is longer than ${MAX_PATH} bytes`);
  if (entry.linkName.length > MAX_PATH) throw new Malformed(`its link target is longer than ${MAX_PATH} bytes`);
  if (entry.name.includes("\0") || entry.linkName.includes("\0")) throw new Malformed("its name contains a NUL byte");
  if (stored < 0 || entry.size < 0) throw new Malformed("its size is negative");
  if (stored > MAX_FILE_SIZE || entry.size > MAX_FILE_SIZE) throw new Malformed("its size is more than 8 TiB");
  if (!isId(entry.uid) || !isId(entry.gid)) throw new Malformed("its user or group id is out of range");
  if (entry.type !== "file") entry.size = 0;
}

function isId(value: number): boolean {
  return value >= 0 && value <= MAX_ID;
}

function untilNul(payload: Buffer): string {
  const end = payload.indexOf(0);
  return payload.toString("latin1", 0, end < 0 ? payload.length : end);
}
