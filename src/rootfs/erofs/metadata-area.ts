import { BLOCK_SIZE, SLOT_SIZE } from "./format.js";
import type { OutputFile } from "./output-file.js";

const FIRST_REGION_BLOCKS = 4;
const MAX_REGION_BLOCKS = 64;
/** So many blocks are tried for room. 300,000 small files: 8 make the image 6 % larger than all 64, and 32 make it 1 %. */
const TRIED_BLOCKS = 32;

/** Room for an inode with what follows it. */
export interface Slot {
  nid: number;
  buffer: Buffer;
  /** Where in `buffer` it begins. */
  offset: number;
}

interface Region {
  position: number;
  buffer: Buffer;
  /** Bytes used of each block; blocks are opened in order. */
  used: number[];
}

/**
 * Places inodes, with their attributes and the tails of their content, into blocks. Blocks come in regions that are
 * reserved among the data as the image grows, so that inodes which are used together lie together, and each is
 * written once, when nothing more fits into it.
 */
export class MetadataArea {
  readonly #out: OutputFile;
  readonly #held: Region[] = [];
  /** Buffers of the largest size that have been written. New ones would cost as much as what is put into them. */
  readonly #spare: Buffer[] = [];
  #region: Region | undefined;
  #blocks = FIRST_REGION_BLOCKS;
  #hold = false;

  constructor(out: OutputFile) {
    this.#out = out;
  }

  /** From now on, slots may be filled until {@link close}, not only until the next {@link place}. */
  holdRegions(): void {
    this.#hold = true;
  }

  /** Finds room for `size` bytes, at most a block, that lie in one block. The output must be at a block boundary. */
  place(size: number): Slot {
    let region = this.#region ?? this.#openRegion();
    let offset = findRoom(region, size);
    if (offset < 0) {
      this.#closeRegion(region);
      region = this.#openRegion();
      offset = findRoom(region, size);
    }
    return { nid: (region.position + offset) / SLOT_SIZE, buffer: region.buffer, offset };
  }

  /** Writes what is left. */
  close(): void {
    if (this.#region) this.#closeRegion(this.#region);
    this.#region = undefined;
    for (const region of this.#held.splice(0)) this.#write(region);
  }

  #openRegion(): Region {
    const buffer = this.#spare.pop()?.fill(0) ?? Buffer.alloc(this.#blocks * BLOCK_SIZE);
    const region = { position: this.#out.position, buffer, used: [] };
    this.#out.skip(buffer.length);
    this.#blocks = Math.min(this.#blocks * 2, MAX_REGION_BLOCKS);
    this.#region = region;
    return region;
  }

  #closeRegion(region: Region): void {
    if (this.#hold) this.#held.push(region);
    else this.#write(region);
  }

  #write(region: Region): void {
    const { buffer, used } = region;
    this.#out.writeAt(region.position, buffer.subarray(0, used.length * BLOCK_SIZE), () => {
      if (buffer.length === MAX_REGION_BLOCKS * BLOCK_SIZE) this.#spare.push(buffer);
    });
  }
}

function findRoom(region: Region, size: number): number {
  const { used } = region;
  for (let i = Math.max(0, used.length - TRIED_BLOCKS); i < used.length; i++) {
    const start = used[i] ?? BLOCK_SIZE;
    if (start + size > BLOCK_SIZE) continue;
    return take(region, i, start, size);
  }
  if ((used.length + 1) * BLOCK_SIZE > region.buffer.length) return -1;
  return take(region, used.length, 0, size);
}

function take(region: Region, block: number, start: number, size: number): number {
  region.used[block] = Math.ceil((start + size) / SLOT_SIZE) * SLOT_SIZE;
  return block * BLOCK_SIZE + start;
}
