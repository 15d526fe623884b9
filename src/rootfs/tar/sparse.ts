import { Malformed } from "../malformed.js";
import { BLOCK } from "./header.js";
import { parseDecimal, parseField } from "./number.js";

/** More segments than this are refused; GNU tar itself makes one per run of data. */
const MAX_SEGMENTS = 1_000_000;

/** Where the stored bytes of a sparse file belong: pairs of offset and length, flat, in ascending order. */
export type SparseMap = number[];

/** The segments in an old GNU header (4 from byte 386) or in one of its extension blocks (21 from byte 0). */
export function readOldGnuSegments(map: SparseMap, block: Buffer, kind: "header" | "extension"): boolean {
  const [start, count, more] = kind === "header" ? [386, 4, 482] : [0, 21, 504];
  for (let i = 0; i < count; i++) {
    const at = start + i * 24;
    if (block[at + 12] === 0) break;
    addSegment(map, parseField(block, at, 12, "sparse map"), parseField(block, at + 12, 12, "sparse map"));
  }
  return block[more] !== 0;
}

/** The file's real size in an old GNU sparse header. */
export function oldGnuRealSize(block: Buffer): number {
  return parseField(block, 483, 12, "real size");
}

/** `GNU.sparse.map` of format 0.1 ("offset,length,offset,length,..."). */
export function parseSparseMapText(text: string): SparseMap {
  return fromNumbers(text === "" ? [] : text.split(",").map((each) => parseDecimal(each, "sparse map")));
}

/** The repeated records of format 0.0. */
export function fromNumbers(numbers: readonly number[]): SparseMap {
  if (numbers.length % 2 !== 0) throw new Malformed("its sparse map has an odd number of values");
  const map: SparseMap = [];
  for (let i = 0; i < numbers.length; i += 2) addSegment(map, numbers[i] ?? 0, numbers[i + 1] ?? 0);
  return map;
}

/** Format 1.0: decimal lines at the start of the content (a count, then pairs), padded to a whole block. */
export class SparseMapParser {
  readonly map: SparseMap = [];
  #expected = -1;
  #offset = -1;
  #digits = "";

  /** Takes one block; true once the map is complete. */
  take(block: Buffer): boolean {
    for (let i = 0; i < BLOCK; i++) {
      const byte = block[i] ?? 0;
      if (byte !== 0x0a) {
        this.#digits += String.fromCharCode(byte);
        if (this.#digits.length > 20) throw new Malformed("its sparse map is damaged");
      } else if (this.#line()) return true;
    }
    return false;
  }

  #line(): boolean {
    const value = parseDecimal(this.#digits, "sparse map");
    this.#digits = "";
    if (this.#expected < 0) {
      if (value < 0 || value > MAX_SEGMENTS) throw new Malformed("its sparse map is too long");
      this.#expected = value * 2;
    } else if (this.#offset < 0) {
      this.#offset = value;
    } else {
      addSegment(this.map, this.#offset, value);
      this.#offset = -1;
    }
    return this.map.length >= this.#expected;
  }
}

/** Checks that the segments fit the file's size and what is stored. */
export function checkSparseMap(map: SparseMap, realSize: number, stored: number): void {
  let sum = 0;
  for (let i = 1; i < map.length; i += 2) sum += map[i] ?? 0;
  if (sum !== stored) throw new Malformed(`its sparse map covers ${sum} bytes, but ${stored} are stored`);
  const end = map.length === 0 ? 0 : (map[map.length - 2] ?? 0) + (map[map.length - 1] ?? 0);
  if (end > realSize) throw new Malformed("its sparse map goes past the end of the file");
}

function addSegment(map: SparseMap, offset: number, length: number): void {
  if (map.length >= MAX_SEGMENTS * 2) throw new Malformed("its sparse map is too long");
  const previous = map.length === 0 ? 0 : (map[map.length - 2] ?? 0) + (map[map.length - 1] ?? 0);
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || length < 0 || offset < previous) {
    throw new Malformed("its sparse map is not in ascending order");
  }
  map.push(offset, length);
}
