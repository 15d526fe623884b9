import { Malformed } from "../malformed.js";

/** A PAX extended header may have so many bytes; the same bound as in Go's archive/tar, and so in Docker's. */
export const MAX_PAX_SIZE = 1024 * 1024;

/** One record; the value is bytes, because extended attributes are binary. */
export interface PaxRecord {
  key: string;
  value: Buffer;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const EQUALS = 0x3d;

/** Splits the payload of a PAX extended header (POSIX.1-2001 "pax"): `LENGTH KEY=VALUE\n`, LENGTH counting all of it. */
export function parsePaxRecords(payload: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  let at = 0;
  while (at < payload.length) {
    // Some writers pad the payload with NULs.
    if (payload[at] === 0) break;
    const space = payload.indexOf(SPACE, at);
    const digits = space < 0 ? "" : payload.toString("latin1", at, Math.min(space, at + 8));
    if (!/^\d{1,7}$/.test(digits)) throw new Malformed("its PAX header has a record without a length");
    const end = at + Number(digits);
    if (end > payload.length || payload[end - 1] !== NEWLINE) {
      throw new Malformed("its PAX header has a record whose length is wrong");
    }
    const equals = payload.indexOf(EQUALS, space);
    if (equals < 0 || equals >= end || equals === space + 1)
      throw new Malformed("its PAX header has a record without a key");
    records.push({ key: payload.toString("latin1", space + 1, equals), value: payload.subarray(equals + 1, end - 1) });
    at = end;
  }
  return records;
}

/** The records in force for one entry: its own, else those of the last global header. */
export class PaxFields {
  readonly #global: ReadonlyMap<string, Buffer>;
  readonly #own = new Map<string, Buffer>();
  /** `GNU.sparse.offset` and `.numbytes`, which GNU's format 0.0 repeats for every segment. */
  readonly sparsePairs: number[] = [];

  constructor(global: ReadonlyMap<string, Buffer>) {
    this.#global = global;
  }

  add(records: readonly PaxRecord[]): void {
    for (const { key, value } of records) {
      if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") {
        this.sparsePairs.push(Number(value.toString("latin1")));
      } else this.#own.set(key, value);
    }
  }

  /** The value of a record as one character per byte. An empty value takes back a global one. */
  text(key: string): string | undefined {
    const value = this.#own.get(key) ?? this.#global.get(key);
    return value === undefined || value.length === 0 ? undefined : value.toString("latin1");
  }

  /** The extended attributes; of a name that occurs in both notations, SCHILY's (exact bytes) counts. */
  xattrs(): Map<string, Buffer> | undefined {
    let found: Map<string, Buffer> | undefined;
    for (const records of [this.#global, this.#own]) {
      for (const [key, value] of records) {
        const attribute = decodeXattr(key, value);
        if (!attribute) continue;
        found ??= new Map();
        if (key.startsWith(SCHILY) || !found.has(attribute.name)) found.set(attribute.name, attribute.value);
      }
    }
    return found;
  }
}

const SCHILY = "SCHILY.xattr.";
const LIBARCHIVE = "LIBARCHIVE.xattr.";

function decodeXattr(key: string, value: Buffer): { name: string; value: Buffer } | undefined {
  if (key.startsWith(SCHILY)) {
    // GNU tar escapes the two characters that would confuse it, and no others.
    const name = key.slice(SCHILY.length).replace(/%3D/g, "=").replace(/%25/g, "%");
    return { name, value: Buffer.from(value) };
  }
  if (!key.startsWith(LIBARCHIVE)) return undefined;
  // libarchive's notation: the name with %XX escapes, the value in base64.
  const name = key
    .slice(LIBARCHIVE.length)
    .replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return { name, value: Buffer.from(value.toString("latin1"), "base64") };
}
