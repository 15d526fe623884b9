import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { CacheInvalidError } from "../errors.js";
import { PAGE_SIZE, type PageRun } from "./page-runs.js";
import { writeFully } from "./write-fully.js";

const MAGIC = Buffer.from("SMDELTA1", "latin1");
const HEADER_BYTES = 64;
const RUN_BYTES = 8;
const PIECE_BYTES = 2 ** 20;
/** So many pieces are read ahead: a process that loads its program meanwhile looks after them seldom. */
const PIECES_AHEAD = 16;

/**
 * The pages of a guest that differ from its template: a `memory.delta` file, held in memory and checked.
 *
 * Little-endian: magic "SMDELTA1"; u32 page size; u32 number of runs; u64 bytes of RAM; u32 number of pages; u32 CRC-32 of all this and
 * of the runs; u32 CRC-32 of the pages; zeros up to byte 64; the runs (u32 first page, u32 count, rising); the pages.
 */
export class Delta {
  readonly ramBytes: number;
  readonly runs: readonly PageRun[];
  /** The pages of all runs, one after the other. */
  readonly pages: Buffer;

  constructor(ramBytes: number, runs: readonly PageRun[], pages: Buffer) {
    this.ramBytes = ramBytes;
    this.runs = runs;
    this.pages = pages;
  }

  /** Reads and checks a delta. @throws CacheInvalidError when it is truncated or corrupt. */
  static async read(path: string): Promise<Delta> {
    const fail = (what: string): never => {
      throw new CacheInvalidError(`the memory delta ${path} ${what}`, {
        hint: "Remove the snapshot (`supermachine rmi`); the next run bakes it anew.",
      });
    };
    await using file = await open(path, "r");
    const { size } = await file.stat();
    if (size < HEADER_BYTES) return fail(`is truncated (${size} bytes)`);
    const { buffer: header } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    if (!header.subarray(0, MAGIC.length).equals(MAGIC)) return fail("is not one");
    if (header.readUInt32LE(8) !== PAGE_SIZE) return fail(`has pages of ${header.readUInt32LE(8)} bytes`);
    const indexBytes = header.readUInt32LE(12) * RUN_BYTES;
    const ramBytes = Number(header.readBigUInt64LE(16));
    const pageCount = header.readUInt32LE(24);
    const expected = HEADER_BYTES + indexBytes + pageCount * PAGE_SIZE;
    if (size !== expected) return fail(`has ${size} bytes where its header promises ${expected}`);
    const index = Buffer.alloc(indexBytes);
    await readSummed(file, index, HEADER_BYTES);
    const pages = Buffer.allocUnsafe(pageCount * PAGE_SIZE);
    const checksum = await readSummed(file, pages, HEADER_BYTES + indexBytes);
    if (indexChecksum(header, index) !== header.readUInt32LE(28) || checksum !== header.readUInt32LE(32)) {
      return fail("is corrupt (its checksum does not match)");
    }
    const runs = readRuns(index);
    if (!runsFit(runs, pageCount, ramBytes)) return fail("lists pages outside the guest's memory");
    return new Delta(ramBytes, runs, pages);
  }

  /** Writes the delta to a new file. */
  async write(path: string): Promise<void> {
    const index = Buffer.allocUnsafe(this.runs.length * RUN_BYTES);
    for (const [i, run] of this.runs.entries()) {
      index.writeUInt32LE(run.first, i * RUN_BYTES);
      index.writeUInt32LE(run.count, i * RUN_BYTES + 4);
    }
    const header = Buffer.alloc(HEADER_BYTES);
    MAGIC.copy(header);
    header.writeUInt32LE(PAGE_SIZE, 8);
    header.writeUInt32LE(this.runs.length, 12);
    header.writeBigUInt64LE(BigInt(this.ramBytes), 16);
    header.writeUInt32LE(this.pages.length / PAGE_SIZE, 24);
    header.writeUInt32LE(indexChecksum(header, index), 28);
    header.writeUInt32LE(crc32(this.pages), 32);
    const file = await open(path, "wx", 0o600);
    try {
      await writeFully(file, Buffer.concat([header, index]), 0);
      await writeFully(file, this.pages, HEADER_BYTES + index.length);
    } finally {
      await file.close();
    }
  }
}

/** Covers the header's fields before it, and the runs. */
function indexChecksum(header: Buffer, index: Buffer): number {
  return crc32(index, crc32(header.subarray(0, 28)));
}

/** Fills `into` from a file, and gives its CRC-32, which is computed of each piece while others are read: both take as long. */
async function readSummed(file: FileHandle, into: Buffer, position: number): Promise<number> {
  const reads: Promise<Buffer | undefined>[] = [];
  let [next, checksum] = [0, 0];
  try {
    for (;;) {
      for (; next < into.length && reads.length < PIECES_AHEAD; next += PIECE_BYTES)
        reads.push(filled(file, into.subarray(next, next + PIECE_BYTES), position + next));
      const reading = reads.shift();
      if (!reading) return checksum;
      const piece = await reading;
      if (!piece) return Number.NaN;
      checksum = crc32(piece, checksum);
    }
  } finally {
    await Promise.allSettled(reads);
  }
}

/** The piece as it is in a file; undefined when that has become shorter meanwhile. */
async function filled(file: FileHandle, piece: Buffer, position: number): Promise<Buffer | undefined> {
  for (let done = 0; done < piece.length; ) {
    const { bytesRead } = await file.read(piece, done, piece.length - done, position + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return piece;
}

function readRuns(index: Buffer): PageRun[] {
  const runs: PageRun[] = [];
  for (let at = 0; at < index.length; at += RUN_BYTES) {
    runs.push({ first: index.readUInt32LE(at), count: index.readUInt32LE(at + 4) });
  }
  return runs;
}

function runsFit(runs: readonly PageRun[], pageCount: number, ramBytes: number): boolean {
  let next = 0;
  let pages = 0;
  for (const { first, count } of runs) {
    if (count === 0 || first < next) return false;
    next = first + count;
    pages += count;
  }
  return pages === pageCount && next * PAGE_SIZE <= ramBytes;
}
