const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-!~ #,";

/** A generator of numbers that are the same for the same seed (mulberry32). */
export function randomFrom(seed: number) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    /** An integer from 0 to `bound - 1`. */
    below: (bound: number) => Math.floor(next() * bound),
    pick<T>(from: readonly T[]): T {
      return from[Math.floor(next() * from.length)] as T;
    },
    text: (length: number) => Array.from({ length }, () => LETTERS[Math.floor(next() * LETTERS.length)]).join(""),
    bytes: (length: number) => Buffer.from(Array.from({ length }, () => Math.floor(next() * 256))),
  };
}
