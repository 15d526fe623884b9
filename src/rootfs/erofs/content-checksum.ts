import { crc32 } from "node:zlib";

/** The polynomial of CRC-32 with its bits reversed, as zlib has it. */
const POLYNOMIAL = 0xedb88320;
const ONE = 0x8000_0000;
const X = 0x4000_0000;

/**
 * The CRC-32 of a file that is not written from its start to its end, without the inversions at both. Such a CRC is a remainder
 * of polynomials, so that the one of a file is the sum of those of its pieces, each moved to its place: multiplied by x for every
 * bit behind it. What is never written is zero and adds nothing.
 */
export class ContentChecksum {
  #sum = 0;
  #end = 0;

  /** Adds bytes at a place where nothing else was added. */
  add(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    const piece = plainCrc(bytes, 0);
    if (end >= this.#end) {
      this.#sum = shift(this.#sum, end - this.#end) ^ piece;
      this.#end = end;
    } else {
      this.#sum ^= shift(piece, this.#end - end);
    }
  }

  /** The checksum of a file of `size` bytes, at least as many as were added. */
  of(size: number): number {
    return shift(this.#sum, size - this.#end) >>> 0;
  }
}

/** Goes on with the checksum of a file that is read in order; it begins with 0. */
export function plainCrc(bytes: Uint8Array, before: number): number {
  // zlib inverts what it is given and what it gives.
  return ~crc32(bytes, ~before >>> 0) >>> 0;
}

/** The checksum of the same with so many zero bytes behind it. */
function shift(crc: number, bytes: number): number {
  return crc === 0 || bytes === 0 ? crc : multiply(powerOfX(bytes * 8), crc);
}

/** x to the power of x's own powers of two: `SQUARES[k]` is x^(2^k). */
const SQUARES: readonly number[] = (() => {
  const squares = [X];
  for (let k = 1; k < 32; k++) {
    const last = squares[k - 1] ?? 0;
    squares.push(multiply(last, last));
  }
  return squares;
})();

function powerOfX(exponent: number): number {
  let product = ONE;
  // x^(2^32) is x again.
  for (let [left, k] = [exponent, 0]; left > 0; left = Math.floor(left / 2), k++) {
    if (left % 2 === 1) product = multiply(SQUARES[k % 32] ?? ONE, product);
  }
  return product;
}

/** Product of two polynomials modulo {@link POLYNOMIAL}, the highest bit being the coefficient of x^0. */
function multiply(a: number, b: number): number {
  let [product, factor] = [0, b];
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) product ^= factor;
    factor = factor & 1 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product;
}
