import { createHash, type Hash } from "node:crypto";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { NetworkError } from "../../errors.js";

/** A commit, a tree, a file or an annotated tag, as a pack has it (gitformat-pack(5)). */
export type ObjectType = "commit" | "tree" | "blob" | "tag";

const TYPES: Readonly<Record<number, ObjectType>> = { 1: "commit", 2: "tree", 3: "blob", 4: "tag" };
const OFFSET_DELTA = 6;
const REF_DELTA = 7;
const HEADER_SIZE = 12;
const TRAILER_SIZE = 20;
/** Type, size and base of an entry take fewer. */
const MOST_ENTRY_HEADER = 64;
const MOST_OBJECTS = 2_000_000;
/** Objects are unpacked in memory. */
const MOST_OBJECT = 512 * 1024 * 1024;
/** Of deltas upon each other; git itself makes 50, and 4095 at most. */
const MOST_DEPTH = 4095;
const CACHE_BYTES = 96 * 1024 * 1024;
/** Others have their turn after so many bytes of objects. */
const TURN_BYTES = 4 * 1024 * 1024;

export interface PackedObject {
  offset: number;
  /** Where the packed data begins. */
  dataOffset: number;
  /** Bytes that it takes in the pack. */
  length: number;
  /** What a delta changes. */
  base: PackedObject | undefined;
  depth: number;
  type: ObjectType;
  /** Bytes of the object itself. */
  size: number;
  oid: string;
}

/** An entry before its object is known. */
interface Entry {
  offset: number;
  dataOffset: number;
  length: number;
  code: number;
  size: number;
  baseOffset: number;
  baseOid: string;
}

/** A pack whose every object was unpacked once and is known by its own digest, so that nothing of it has to be believed. */
export class PackFile implements Disposable {
  readonly path: string;
  readonly objects = new Map<string, PackedObject>();
  readonly #file: number;
  readonly #end: number;
  readonly #cache = new Map<PackedObject, Buffer>();
  #cached = 0;
  /** Bytes unpacked so far. */
  #work = 0;

  private constructor(path: string) {
    this.path = path;
    this.#file = openSync(path, "r");
    this.#end = statSync(path).size - TRAILER_SIZE;
  }

  /**
   * @param mostBytes of all objects together
   * @throws NetworkError when it is damaged, or larger than anything that is meant well
   */
  static async open(path: string, mostBytes: number, signal?: AbortSignal): Promise<PackFile> {
    const pack = new PackFile(path);
    try {
      await pack.#index(mostBytes, signal);
      return pack;
    } catch (error) {
      pack[Symbol.dispose]();
      if (error instanceof RangeError || (error as NodeJS.ErrnoException).code?.startsWith("Z_")) {
        throw new NetworkError("the git server sent a damaged pack", { cause: error });
      }
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
    this.#cache.clear();
  }

  /** An object's content. @throws NetworkError when the pack does not have it, or as another type */
  read(oid: string, type: ObjectType): Buffer {
    const object = this.find(oid, type);
    return this.#content(object);
  }

  /** @throws NetworkError when the pack does not have it, or as another type */
  find(oid: string, type: ObjectType): PackedObject {
    const object = this.objects.get(oid);
    if (object?.type === type) return object;
    throw new NetworkError(`the git server did not send the ${type} ${oid}`);
  }

  async #index(mostBytes: number, signal: AbortSignal | undefined): Promise<void> {
    const header = this.#bytes(0, HEADER_SIZE);
    const count = header.readUInt32BE(8);
    const isPack = header.toString("latin1", 0, 4) === "PACK" && [2, 3].includes(header.readUInt32BE(4));
    if (!isPack || this.#end < HEADER_SIZE) throw damaged("it is no pack");
    if (count > MOST_OBJECTS) throw damaged(`it has ${count} objects`);
    const byOffset = new Map<number, PackedObject>();
    let left = mostBytes;
    let turn = 0;
    const add = async (entry: Entry): Promise<boolean> => {
      const object = this.#object(entry, byOffset);
      if (!object) return false;
      byOffset.set(object.offset, object);
      this.objects.set(object.oid, object);
      left -= object.size;
      if (left < 0) throw damaged(`its files have more than ${mostBytes} bytes`);
      if (this.#work < turn) return true;
      turn = this.#work + TURN_BYTES;
      signal?.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
      return true;
    };
    let waiting: Entry[] = [];
    let at = HEADER_SIZE;
    for (let i = 0; i < count; i++) {
      const entry = this.#entry(at);
      at += entry.length;
      if (!(await add(entry))) waiting.push(entry);
    }
    if (at !== this.#end) throw damaged("it has bytes that belong to nothing");
    // Deltas upon objects that come later in the pack.
    while (waiting.length > 0) {
      const before = waiting;
      waiting = [];
      for (const entry of before) if (!(await add(entry))) waiting.push(entry);
      if (waiting.length === before.length) throw damaged("a delta has no base");
    }
  }

  /** Reads an entry's header, and unpacks its data to see where it ends. */
  #entry(offset: number): Entry {
    const bytes = this.#bytes(offset, MOST_ENTRY_HEADER);
    let at = 0;
    let byte = bytes.readUInt8(at++);
    const code = (byte >> 4) & 7;
    let size = byte & 15;
    for (let shift = 4; byte & 0x80; shift += 7) {
      byte = bytes.readUInt8(at++);
      size += (byte & 0x7f) * 2 ** shift;
    }
    if (size > MOST_OBJECT) throw damaged(`a file has ${size} bytes, and at most ${MOST_OBJECT} are accepted`);
    let baseOffset = 0;
    let baseOid = "";
    if (code === OFFSET_DELTA) {
      byte = bytes.readUInt8(at++);
      let back = byte & 0x7f;
      while (byte & 0x80) {
        byte = bytes.readUInt8(at++);
        back = (back + 1) * 128 + (byte & 0x7f);
      }
      baseOffset = offset - back;
    } else if (code === REF_DELTA) {
      baseOid = bytes.toString("hex", at, at + 20);
      at += 20;
    } else if (!TYPES[code]) throw damaged("an object is of an unknown type");
    const dataOffset = offset + at;
    const { used } = this.#inflate(dataOffset, size);
    return { offset, dataOffset, length: at + used, code, size, baseOffset, baseOid };
  }

  #object(entry: Entry, byOffset: ReadonlyMap<number, PackedObject>): PackedObject | undefined {
    const { offset, dataOffset, length, code } = entry;
    const isDelta = code === OFFSET_DELTA || code === REF_DELTA;
    const base = code === OFFSET_DELTA ? byOffset.get(entry.baseOffset) : this.objects.get(entry.baseOid);
    if (isDelta && !base) return undefined;
    const type = base?.type ?? TYPES[code] ?? "blob";
    const depth = (base?.depth ?? -1) + 1;
    if (depth > MOST_DEPTH) throw damaged("its deltas are too deep");
    const object: PackedObject = { offset, dataOffset, length, base, depth, type, size: entry.size, oid: "" };
    const content = this.#content(object);
    object.size = content.length;
    object.oid = digestOf(type, content);
    return object;
  }

  #content(object: PackedObject): Buffer {
    // From the object that is there as a whole to the one that is wanted.
    const chain: PackedObject[] = [];
    let at: PackedObject | undefined = object;
    for (; at?.base && !this.#cache.has(at); at = at.base) chain.push(at);
    let content = at ? (this.#cache.get(at) ?? this.#inflate(at.dataOffset, at.size).content) : Buffer.alloc(0);
    if (at) this.#keep(at, content);
    for (const each of chain.reverse()) {
      content = applyDelta(content, this.#inflate(each.dataOffset, undefined).content);
      this.#keep(each, content);
    }
    return content;
  }

  #keep(object: PackedObject, content: Buffer): void {
    if (content.length > CACHE_BYTES / 4) return;
    if (!this.#cache.delete(object)) this.#cached += content.length;
    this.#cache.set(object, content);
    for (const [first, bytes] of this.#cache) {
      if (this.#cached <= CACHE_BYTES) break;
      this.#cache.delete(first);
      this.#cached -= bytes.length;
    }
  }

  /** @param size that it has to have; of a delta, which says it itself, undefined */
  #inflate(offset: number, size: number | undefined): { content: Buffer; used: number } {
    for (let room = (size ?? 4096) + 4096; ; room *= 4) {
      const packed = this.#bytes(offset, room);
      const isAll = offset + packed.length >= this.#end;
      try {
        const options = { info: true, maxOutputLength: Math.max(size ?? MOST_OBJECT, 1) };
        const { buffer, engine } = inflateSync(packed, options) as unknown as Inflated;
        if (size !== undefined && buffer.length !== size) throw damaged("an object has another size than it says");
        this.#work += buffer.length + 1024;
        return { content: buffer, used: engine.bytesWritten };
      } catch (error) {
        // More was packed than what it should take: it is read once more, with more room.
        if ((error as NodeJS.ErrnoException).code !== "Z_BUF_ERROR" || isAll) throw error;
      }
    }
  }

  /** Fewer at the end of the pack. */
  #bytes(offset: number, length: number): Buffer {
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.#end - offset)));
    const count = readSync(this.#file, buffer, 0, buffer.length, offset);
    return buffer.subarray(0, count);
  }
}

/** What Node gives with `info: true`; its types do not say so. */
interface Inflated {
  buffer: Buffer;
  engine: { bytesWritten: number };
}

/** Applies copies from a base and insertions (gitformat-pack(5), "Deltified representation"). */
export function applyDelta(base: Buffer, delta: Buffer): Buffer {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = delta.readUInt8(at++);
      value += (byte & 0x7f) * 2 ** shift;
      if (!(byte & 0x80) || shift > 49) return value;
    }
  };
  const field = (flags: number, count: number) => {
    let value = 0;
    for (let i = 0; i < count; i++) if (flags & (1 << i)) value += delta.readUInt8(at++) * 2 ** (8 * i);
    return value;
  };
  if (varint() !== base.length) throw damaged("a delta is of another object");
  const size = varint();
  if (size > MOST_OBJECT) throw damaged(`a file has ${size} bytes, and at most ${MOST_OBJECT} are accepted`);
  const result = Buffer.alloc(size);
  let done = 0;
  while (at < delta.length) {
    const code = delta.readUInt8(at++);
    const [from, offset, length] =
      code & 0x80 ? [base, field(code, 4), field(code >> 4, 3) || 0x10000] : [delta, at, code];
    if (length === 0 || offset + length > from.length || done + length > size) throw damaged("a delta is malformed");
    from.copy(result, done, offset, offset + length);
    done += length;
    if (from === delta) at += length;
  }
  if (done !== size) throw damaged("a delta is malformed");
  return result;
}

function digestOf(type: ObjectType, content: Buffer): string {
  const hash: Hash = createHash("sha1");
  return hash.update(`${type} ${content.length}\0`).update(content).digest("hex");
}

function damaged(what: string): NetworkError {
  return new NetworkError(`the git server sent a pack that cannot be used: ${what}`);
}
