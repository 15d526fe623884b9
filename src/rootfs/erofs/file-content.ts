import { BLOCK_BITS, BLOCK_SIZE, NULL_BLOCK } from "./format.js";
import type { OutputFile } from "./output-file.js";

/** Zeros in units of this size, aligned, are not stored. Smaller units would cut files into pieces that read slower. */
const UNIT = 64 * 1024;
/** Keeps a chunk map at 256 KiB, whatever the file's size. */
const MAX_CHUNKS = 65_536;
const ZEROS = Buffer.alloc(UNIT);
/** Is in the list for a chunk that has no data so far. */
const NONE = -1;

/** Where a file's content is: in a row from `firstBlock` on, then `tail`; or in chunks, of which some are holes. */
export type StoredContent =
  | { kind: "flat"; firstBlock: number; tail: Buffer }
  | { kind: "chunks"; format: number; map: Buffer };

/**
 * Stores one file's content as it comes, at the end of the image. The part behind the last whole block is kept back, for
 * it may fit behind the inode.
 */
export class FileContent {
  readonly #out: OutputFile;
  readonly #size: number;
  readonly #bodyEnd: number;
  readonly #chunkSize: number;
  readonly #chunks: number[] = [];
  /** What lies behind the last whole block. */
  readonly #tail: Buffer;
  #position = 0;
  /** Position in the image of the current chunk, or NONE. */
  #chunk = NONE;
  /** Zero units at the start of the current chunk, while it has no place. */
  #skipped = 0;
  #unitZeros = 0;
  #unitHasData = false;
  #hasHoles = false;

  /** The output must be at a block boundary, and is at one after {@link finish}. */
  constructor(out: OutputFile, size: number) {
    this.#out = out;
    this.#size = size;
    this.#bodyEnd = size - (size % BLOCK_SIZE);
    this.#chunkSize = chunkSizeFor(size);
    // From Node's pool, for there is one for nearly every file; data and holes cover all of it.
    this.#tail = Buffer.allocUnsafe(size % BLOCK_SIZE);
  }

  data(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const left = bytes.length - at;
      if (this.#position >= this.#bodyEnd) {
        bytes.copy(this.#tail, this.#position - this.#bodyEnd, at);
        this.#position += left;
        return;
      }
      const count = Math.min(left, this.#unitLeft());
      if (this.#unitHasData || !isZero(bytes, at, count)) {
        if (!this.#unitHasData) this.#openUnit();
        this.#out.append(bytes, at, at + count);
      } else {
        this.#unitZeros += count;
      }
      this.#advance(count);
      at += count;
    }
  }

  /** The same as `length` zero bytes. */
  hole(length: number): void {
    for (let left = length; left > 0; ) {
      if (this.#position >= this.#bodyEnd) {
        this.#tail.fill(0, this.#position - this.#bodyEnd);
        this.#position += left;
        return;
      }
      const count = this.#skipChunk(left) || this.#zeros(left);
      left -= count;
    }
  }

  /** A whole chunk at once, for holes may have terabytes. */
  #skipChunk(available: number): number {
    const whole = this.#position % this.#chunkSize === 0 && this.#position + this.#chunkSize <= this.#bodyEnd;
    if (!whole || available < this.#chunkSize) return 0;
    this.#position += this.#chunkSize;
    this.#endChunk();
    return this.#chunkSize;
  }

  #zeros(available: number): number {
    const count = Math.min(available, this.#unitLeft());
    if (this.#unitHasData) this.#out.appendZeros(count);
    else this.#unitZeros += count;
    this.#advance(count);
    return count;
  }

  #unitLeft(): number {
    return Math.min(UNIT - (this.#position % UNIT), this.#bodyEnd - this.#position);
  }

  #advance(count: number): void {
    this.#position += count;
    if (this.#position % UNIT !== 0) return;
    if (!this.#unitHasData) {
      if (this.#chunk === NONE) this.#skipped += UNIT;
      else this.#out.skip(UNIT);
    }
    this.#unitHasData = false;
    this.#unitZeros = 0;
    if (this.#position % this.#chunkSize === 0) this.#endChunk();
  }

  #endChunk(): void {
    this.#chunks.push(this.#chunk);
    if (this.#chunk === NONE) this.#hasHoles = true;
    this.#chunk = NONE;
    this.#skipped = 0;
  }

  /** Gives the current unit its place, and with it the zeros before it that turned out to be needed. */
  #openUnit(): void {
    if (this.#chunk === NONE) {
      this.#chunk = this.#out.position;
      this.#out.skip(this.#skipped);
      this.#skipped = 0;
    }
    this.#out.appendZeros(this.#unitZeros);
    this.#unitZeros = 0;
    this.#unitHasData = true;
  }

  /** Call when all `size` bytes have come. */
  finish(): StoredContent {
    const inChunk = this.#size - this.#chunks.length * this.#chunkSize;
    const empty = this.#chunk === NONE && isZero(this.#tail, 0, this.#tail.length);
    if (inChunk > 0 && empty && (this.#hasHoles || inChunk >= UNIT)) {
      this.#endChunk();
      return this.#chunked();
    }
    if (this.#unitZeros + this.#skipped > 0) this.#openUnit();
    if (!this.#hasHoles) {
      const first = this.#chunks[0] ?? this.#chunk;
      return { kind: "flat", firstBlock: first === NONE ? 0 : first / BLOCK_SIZE, tail: this.#tail };
    }
    if (inChunk > 0) {
      if (this.#chunk === NONE) this.#chunk = this.#out.position;
      appendTail(this.#out, this.#tail);
      this.#endChunk();
    }
    return this.#chunked();
  }

  #chunked(): StoredContent {
    const map = Buffer.alloc(this.#chunks.length * 4);
    this.#chunks.forEach((position, i) => {
      map.writeUInt32LE(position === NONE ? NULL_BLOCK : position / BLOCK_SIZE, i * 4);
    });
    return { kind: "chunks", format: Math.log2(this.#chunkSize) - BLOCK_BITS, map };
  }
}

/** Appends the part of a file behind its last whole block as a block of its own; gives that block's number. */
export function appendTail(out: OutputFile, tail: Buffer): number {
  const block = out.position / BLOCK_SIZE;
  if (tail.length > 0) {
    out.append(tail);
    out.appendZeros(BLOCK_SIZE - tail.length);
  }
  return block;
}

function chunkSizeFor(size: number): number {
  let chunkSize = UNIT;
  while (chunkSize * MAX_CHUNKS < size) chunkSize *= 2;
  return chunkSize;
}

function isZero(bytes: Buffer, start: number, length: number): boolean {
  if (length === 0) return true;
  // Most content shows in its first or last byte that it is none.
  if (bytes[start] !== 0 || bytes[start + length - 1] !== 0) return false;
  return bytes.compare(ZEROS, 0, length, start, start + length) === 0;
}
