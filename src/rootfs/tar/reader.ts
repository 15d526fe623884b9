import { ImageError } from "../../errors.js";
import { Malformed, printable } from "../malformed.js";
import { type AssembledEntry, EntryAssembler, metaLimit, type TarEntry } from "./entry.js";
import { BLOCK, decodeHeader, isEmptyBlock, type TarHeader } from "./header.js";
import { checkSparseMap, oldGnuRealSize, readOldGnuSegments, type SparseMap, SparseMapParser } from "./sparse.js";

/** Receives what a {@link TarReader} finds, in archive order. It may throw {@link Malformed} to refuse an entry. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  /** The next bytes of the current file's content; the buffer is only lent for the call. */
  data(bytes: Buffer): void;
  /** The next `length` bytes of the current file are zero and are not stored in the archive. */
  hole(length: number): void;
  /** The current entry is complete. */
  end(): void;
}

/** "skip" is content that belongs to no file, and padding. */
type State = "header" | "meta" | "sparse-extension" | "sparse-map" | "data" | "skip" | "end";

/**
 * A streaming tar parser: bytes go in by `write`, entries come out through the handler, synchronously, so that an entry
 * costs no promise. Knows V7, ustar, star, PAX and GNU archives; everything that the archive says is bounded.
 *
 * @throws ImageError when the archive is malformed or truncated; the message names the entry and its offset.
 */
export class TarReader {
  readonly #handler: TarHandler;
  readonly #assembler = new EntryAssembler();
  readonly #block = Buffer.alloc(BLOCK);
  #filled = 0;
  #state: State = "header";
  #offset = 0;
  #headerOffset = 0;
  #name = "";
  #emptyBlocks = 0;
  #meta: { type: string; payload: Buffer; filled: number } | undefined;
  #entry: AssembledEntry | undefined;
  #map: SparseMap | undefined;
  #mapParser: SparseMapParser | undefined;
  #segment = 0;
  #position = 0;
  /** Stored bytes of the current payload that are still to come, then its padding. */
  #remaining = 0;
  #padding = 0;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  write(chunk: Buffer): void {
    try {
      for (let at = 0; at < chunk.length; ) {
        const used = this.#step(chunk, at);
        this.#offset += used;
        at += used;
      }
    } catch (error) {
      throw this.#located(error);
    }
  }

  /** Says that no more bytes will come. */
  end(): void {
    const what = this.#missing();
    if (what === undefined) return;
    throw new ImageError(
      `The archive is truncated: it ends at byte ${this.#offset}, in the ${what} of ${this.#describe()}`,
    );
  }

  #missing(): string | undefined {
    if (this.#state === "end") return undefined;
    const between = this.#state === "header" || (this.#state === "skip" && this.#remaining === 0);
    if (!between) return "content";
    if (this.#filled > 0) return "header";
    // As every reader has it, the last padding and the zero blocks at the end may be missing.
    return this.#assembler.pending ? "headers" : undefined;
  }

  #step(chunk: Buffer, at: number): number {
    switch (this.#state) {
      case "header":
      case "sparse-extension":
      case "sparse-map":
        return this.#takeBlock(chunk, at);
      case "meta":
        return this.#takeMeta(chunk, at);
      case "data":
        return this.#takeData(chunk, at);
      case "skip":
        return this.#skip(chunk.length - at);
      case "end":
        return chunk.length - at;
    }
  }

  #takeBlock(chunk: Buffer, at: number): number {
    if (this.#filled === 0 && chunk.length - at >= BLOCK) {
      this.#onBlock(chunk.subarray(at, at + BLOCK), this.#offset);
      return BLOCK;
    }
    const used = Math.min(BLOCK - this.#filled, chunk.length - at);
    chunk.copy(this.#block, this.#filled, at, at + used);
    this.#filled += used;
    if (this.#filled === BLOCK) {
      this.#filled = 0;
      this.#onBlock(this.#block, this.#offset + used - BLOCK);
    }
    return used;
  }

  #onBlock(block: Buffer, offset: number): void {
    if (this.#state === "header") {
      this.#onHeader(block, offset);
    } else if (this.#state === "sparse-extension") {
      if (!readOldGnuSegments(this.#map ?? [], block, "extension")) this.#startData();
    } else {
      this.#remaining -= BLOCK;
      if (this.#remaining < 0) throw new Malformed("its sparse map is truncated");
      if (this.#mapParser?.take(block)) {
        this.#map = this.#mapParser.map;
        this.#startData();
      }
    }
  }

  #onHeader(block: Buffer, offset: number): void {
    this.#headerOffset = offset;
    this.#name = "";
    if (isEmptyBlock(block)) {
      this.#emptyBlocks++;
      if (this.#assembler.pending) throw new Malformed("it has extended headers, but no entry follows");
      if (this.#emptyBlocks === 2) this.#state = "end";
      return;
    }
    if (this.#emptyBlocks > 0) throw new Malformed("a single zero block precedes it");
    const header = decodeHeader(block);
    this.#name = header.name;
    const limit = metaLimit(header.type);
    if (limit === undefined) this.#startEntry(header, block);
    else this.#startMeta(header, limit);
  }

  #startMeta(header: TarHeader, limit: number): void {
    if (header.size < 0 || header.size > limit) {
      throw new Malformed(`its extended header has ${header.size} bytes; at most ${limit} are accepted`);
    }
    this.#meta = { type: header.type, payload: Buffer.allocUnsafe(header.size), filled: 0 };
    this.#padding = paddingOf(header.size);
    this.#state = "meta";
    if (header.size === 0) this.#endMeta();
  }

  #takeMeta(chunk: Buffer, at: number): number {
    const meta = this.#meta;
    if (!meta) return 0;
    const used = Math.min(meta.payload.length - meta.filled, chunk.length - at);
    chunk.copy(meta.payload, meta.filled, at, at + used);
    meta.filled += used;
    if (meta.filled === meta.payload.length) this.#endMeta();
    return used;
  }

  #endMeta(): void {
    if (this.#meta) this.#assembler.meta(this.#meta.type, this.#meta.payload);
    this.#meta = undefined;
    this.#state = this.#padding > 0 ? "skip" : "header";
  }

  #startEntry(header: TarHeader, block: Buffer): void {
    const assembled = this.#assembler.entry(header, header.type === "S" ? oldGnuRealSize(block) : undefined);
    const { entry, stored, sparse } = assembled;
    this.#entry = assembled;
    this.#name = entry.name;
    this.#remaining = stored;
    this.#padding = paddingOf(stored);
    this.#map = Array.isArray(sparse) ? sparse : undefined;
    this.#handler.entry(entry);
    if (sparse === "header") {
      this.#map = [];
      if (readOldGnuSegments(this.#map, block, "header")) this.#state = "sparse-extension";
      else this.#startData();
    } else if (sparse === "leading") {
      this.#mapParser = new SparseMapParser();
      this.#state = "sparse-map";
    } else {
      this.#startData();
    }
  }

  #startData(): void {
    const entry = this.#entry?.entry;
    if (!entry) return;
    this.#mapParser = undefined;
    this.#segment = 0;
    this.#position = 0;
    if (this.#map) checkSparseMap(this.#map, entry.size, this.#remaining);
    if (entry.type !== "file") {
      this.#state = "skip";
      this.#finishEntry();
    } else if (this.#remaining === 0) {
      this.#endData();
    } else {
      this.#state = "data";
    }
  }

  #takeData(chunk: Buffer, at: number): number {
    let used = Math.min(this.#remaining, chunk.length - at);
    if (this.#map) used = this.#seekSegment(this.#map, used);
    this.#handler.data(at === 0 && used === chunk.length ? chunk : chunk.subarray(at, at + used));
    this.#position += used;
    this.#remaining -= used;
    if (this.#remaining === 0) this.#endData();
    return used;
  }

  /** Reports the hole before the segment that comes next; gives how many of the stored bytes belong to it. */
  #seekSegment(map: SparseMap, available: number): number {
    let start = map[this.#segment] ?? 0;
    let end = start + (map[this.#segment + 1] ?? 0);
    while (this.#position >= end || start === end) {
      this.#segment += 2;
      start = map[this.#segment] ?? 0;
      end = start + (map[this.#segment + 1] ?? 0);
    }
    if (this.#position < start) this.#hole(start);
    return Math.min(available, end - this.#position);
  }

  #hole(until: number): void {
    this.#handler.hole(until - this.#position);
    this.#position = until;
  }

  #endData(): void {
    const size = this.#entry?.entry.size ?? 0;
    if (this.#position < size) this.#hole(size);
    this.#finishEntry();
  }

  #finishEntry(): void {
    this.#handler.end();
    this.#state = this.#remaining + this.#padding > 0 ? "skip" : "header";
  }

  #skip(available: number): number {
    const content = Math.min(this.#remaining, available);
    const padding = Math.min(this.#padding, available - content);
    this.#remaining -= content;
    this.#padding -= padding;
    if (this.#remaining + this.#padding === 0) this.#state = "header";
    return content + padding;
  }

  #describe(): string {
    const name = this.#name === "" ? "the entry" : `"${printable(this.#name)}"`;
    return `${name} (header at byte ${this.#headerOffset})`;
  }

  #located(error: unknown): unknown {
    if (!(error instanceof Malformed)) return error;
    const details = error.hint === undefined ? { cause: error } : { cause: error, hint: error.hint };
    return new ImageError(`The archive cannot be used because of ${this.#describe()}: ${error.message}`, details);
  }
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}
