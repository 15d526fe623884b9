import { ImageError } from "../../errors.js";

// The format: "BZIP2: Format Specification" by Joe Tsai, and what bzip2 1.0 accepts.
const BLOCK_MAGIC = 0x314159265359;
const END_MAGIC = 0x177245385090;
const LEVEL_BYTES = 100_000;
/** A block packs to no more: 900,000 codes of 20 bits, and its tables. */
const MOST_PACKED = 2_500_000;
const GROUP = 50;
/** Words up to this length are looked up. */
const SHORT = 10;
const MOST_LENGTH = 20;
const OUTPUT = 64 * 1024;

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let i = 0; i < 8; i++) crc = crc & 0x8000_0000 ? (crc << 1) ^ 0x04c1_1db7 : crc << 1;
  return crc;
});

/**
 * Unpacks bzip2 data of any number of streams, in pieces of 64 KiB, so that nothing small becomes large at once. The libraries there are collect
 * a block as an array of numbers: 50 MB of zeros took one of them a minute.
 * @throws ImageError when it is damaged
 */
export async function* bunzip2(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const bits = new BitReader(source);
  do {
    await bits.fill(4);
    if (bits.bits(24) !== 0x425a68) throw damaged("it does not begin as it should");
    const level = bits.bits(8) - 0x30;
    if (level < 1 || level > 9) throw damaged("it has an unknown block size");
    for (;;) {
      await bits.fill(MOST_PACKED);
      const magic = bits.bits(24) * 2 ** 24 + bits.bits(24);
      if (magic === END_MAGIC) break;
      if (magic !== BLOCK_MAGIC) throw damaged("a block does not begin as it should");
      yield* unpackBlock(bits, level * LEVEL_BYTES);
    }
    // The blocks have checksums of their own.
    bits.bits(16);
    bits.bits(16);
    bits.align();
  } while (await bits.begins("BZh"));
}

function* unpackBlock(bits: BitReader, most: number): Generator<Buffer> {
  const crc = bits.bits(16) * 2 ** 16 + bits.bits(16);
  if (bits.bits(1) !== 0) throw damaged("a block is of a kind that is no longer written");
  const origin = bits.bits(24);
  const { next, length } = readBlock(bits, most);
  if (origin >= length) throw damaged("a block begins outside of itself");
  let sum = 0xffff_ffff;
  let out = Buffer.allocUnsafe(OUTPUT);
  let used = 0;
  let at = next[origin] ?? 0;
  let last = -1;
  let run = 0;
  for (let i = 0; i < length; i++) {
    at = next[at >>> 8] ?? 0;
    const byte = at & 0xff;
    // After four of a kind comes how many more there are.
    let times = 1;
    if (run === 4) {
      times = byte;
      run = 0;
    } else {
      run = byte === last ? run + 1 : 1;
      last = byte;
    }
    for (let n = 0; n < times; n++) {
      sum = (sum << 8) ^ (CRC[(sum >>> 24) ^ last] ?? 0);
      out[used++] = last;
      if (used < OUTPUT) continue;
      yield out;
      out = Buffer.allocUnsafe(OUTPUT);
      used = 0;
    }
  }
  if (~sum >>> 0 !== crc) throw damaged("a block's checksum is wrong");
  yield out.subarray(0, used);
}

/** The bytes of a block, sorted; above each of them where the following one is. */
function readBlock(bits: BitReader, most: number): { next: Uint32Array; length: number } {
  const symbols = readSymbols(bits);
  const groups = bits.bits(3);
  const count = bits.bits(15);
  if (groups < 2 || groups > 6 || count === 0) throw damaged("a block has no codes");
  const selectors = readSelectors(bits, groups, count);
  const codes = Array.from({ length: groups }, () => readCode(bits, symbols.length + 2));
  const next = new Uint32Array(most);
  const counts = new Uint32Array(256);
  let length = 0;
  const put = (byte: number, times: number) => {
    if (length + times > most) throw damaged("a block is too large");
    counts[byte] = (counts[byte] ?? 0) + times;
    for (const end = length + times; length < end; length++) next[length] = byte;
  };
  let code: Code | undefined;
  let run = 0;
  let weight = 1;
  for (let i = 0; ; i++) {
    if (i % GROUP === 0) code = codes[selectors[i / GROUP] ?? -1];
    if (!code) throw damaged("a block has more codes than it says");
    const symbol = readSymbol(bits, code);
    if (symbol <= 1) {
      run += weight << symbol;
      weight *= 2;
      if (run > most) throw damaged("a block is too large");
      continue;
    }
    put(symbols[0] ?? 0, run);
    run = 0;
    weight = 1;
    if (symbol === symbols.length + 1) break;
    const byte = symbols[symbol - 1] ?? 0;
    symbols.copyWithin(1, 0, symbol - 1);
    symbols[0] = byte;
    put(byte, 1);
  }
  link(next, counts, length);
  return { next, length };
}

/** Puts above each byte where the one that follows it is. @param counts how often each byte occurs */
function link(next: Uint32Array, counts: Uint32Array, length: number): void {
  let total = 0;
  for (let byte = 0; byte < 256; byte++) {
    const own = counts[byte] ?? 0;
    counts[byte] = total;
    total += own;
  }
  for (let i = 0; i < length; i++) {
    const byte = (next[i] ?? 0) & 0xff;
    const place = counts[byte] ?? 0;
    counts[byte] = place + 1;
    next[place] = (next[place] ?? 0) | (i << 8);
  }
}

/** The bytes that occur. */
function readSymbols(bits: BitReader): Uint8Array {
  const symbols: number[] = [];
  const ranges = bits.bits(16);
  for (let range = 0; range < 16; range++) {
    const own = ranges & (0x8000 >> range) ? bits.bits(16) : 0;
    for (let i = 0; i < 16; i++) if (own & (0x8000 >> i)) symbols.push(range * 16 + i);
  }
  if (symbols.length === 0) throw damaged("a block has no bytes");
  return Uint8Array.from(symbols);
}

/** Which code each group of fifty symbols has. */
function readSelectors(bits: BitReader, groups: number, count: number): number[] {
  const order = Array.from({ length: groups }, (_, i) => i);
  return Array.from({ length: count }, () => {
    let at = 0;
    while (bits.bits(1) === 1) if (++at === groups) throw damaged("a block names a code that it does not have");
    const [selector = 0] = order.splice(at, 1);
    order.unshift(selector);
    return selector;
  });
}

/** A Huffman code: by the length of a word, the first word, how many there are, and the place of its symbol. */
interface Code {
  first: number[];
  counts: number[];
  starts: number[];
  symbols: number[];
  /** By the next bits: the symbol of a short word and, in the lowest 5 bits, its length; 0 for what is longer. */
  short: Uint16Array;
}

function readCode(bits: BitReader, size: number): Code {
  let length = bits.bits(5);
  const lengths = Array.from({ length: size }, () => {
    for (;;) {
      if (length < 1 || length > MOST_LENGTH) throw damaged("a code has a word of a wrong length");
      if (bits.bits(1) === 0) return length;
      length += bits.bits(1) === 0 ? 1 : -1;
    }
  });
  const code: Code = { first: [0], counts: [0], starts: [0], symbols: [], short: new Uint16Array(1 << SHORT) };
  let word = 0;
  for (let each = 1; each <= MOST_LENGTH; each++) {
    const own = lengths.flatMap((of, symbol) => (of === each ? [symbol] : []));
    code.first.push(word);
    code.counts.push(own.length);
    code.starts.push(code.symbols.length);
    code.symbols.push(...own);
    for (const [i, symbol] of own.entries()) {
      const from = (word + i) << (SHORT - each);
      if (each <= SHORT) code.short.fill((symbol << 5) | each, from, from + (1 << (SHORT - each)));
    }
    word = (word + own.length) << 1;
  }
  return code;
}

function readSymbol(bits: BitReader, { first, counts, starts, symbols, short }: Code): number {
  const next = bits.peek(MOST_LENGTH);
  const known = short[next >>> (MOST_LENGTH - SHORT)] ?? 0;
  if (known !== 0) {
    bits.skip(known & 31);
    return known >>> 5;
  }
  for (let length = SHORT + 1; length <= MOST_LENGTH; length++) {
    const offset = (next >>> (MOST_LENGTH - length)) - (first[length] ?? 0);
    if (offset < 0 || offset >= (counts[length] ?? 0)) continue;
    bits.skip(length);
    return symbols[(starts[length] ?? 0) + offset] ?? 0;
  }
  throw damaged("it has a word that no code has");
}

/** Bits of a stream, of which enough is read beforehand. */
class BitReader {
  readonly #source: AsyncIterator<Buffer>;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Bits that are taken from the bytes, and how many of the lowest are still to come. */
  #held = 0;
  #left = 0;
  /** How many of them are behind the end. */
  #missing = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Reads until so many bytes are there, or all that there are. */
  async fill(bytes: number): Promise<void> {
    if (this.#bytes.length - this.#at >= bytes) return;
    const pieces = [this.#bytes.subarray(this.#at)];
    let have = pieces[0]?.length ?? 0;
    while (have < bytes) {
      const next = await this.#source.next();
      if (next.done) break;
      pieces.push(next.value);
      have += next.value.length;
    }
    this.#bytes = Buffer.concat(pieces);
    this.#at = 0;
  }

  /** Whether a text comes next, at a byte. */
  async begins(text: string): Promise<boolean> {
    await this.fill(text.length);
    return this.#bytes.toString("latin1", this.#at, this.#at + text.length) === text;
  }

  /** The next bits as a number, 24 at most. */
  bits(count: number): number {
    const value = this.peek(count);
    this.skip(count);
    return value;
  }

  /** The bits that come next, 24 at most; zeros behind the end. */
  peek(count: number): number {
    while (this.#left <= 24) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) this.#missing += 8;
      this.#held = (this.#held << 8) | (byte ?? 0);
      this.#left += 8;
    }
    return (this.#held >>> (this.#left - count)) & ((1 << count) - 1);
  }

  skip(count: number): void {
    this.#left -= count;
    if (this.#left < this.#missing) throw damaged("it ends in the middle");
  }

  /** Goes on to the next whole byte. */
  align(): void {
    this.#at -= Math.floor(this.#left / 8);
    [this.#held, this.#left, this.#missing] = [0, 0, 0];
  }
}

function damaged(what: string): ImageError {
  return new ImageError(`The archive's bzip2 data is damaged: ${what}`);
}
