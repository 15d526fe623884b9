const MAX_UINT32 = 0xffff_ffff;

/** A whole number from 0 to 2^32 - 1 in base 8 or 10; undefined when it is none. */
export function parseNumber(text: string, base: 8 | 10): number | undefined {
  if (!(base === 8 ? /^[0-7]{1,12}$/ : /^\d{1,10}$/).test(text)) return undefined;
  const value = Number.parseInt(text, base);
  return value <= MAX_UINT32 ? value : undefined;
}

const UNITS = "kmgtp";

/** A size such as `64m`, `1.5g` or `1024`, in bytes: docker's units are powers of 1024 whatever they are called. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,9})?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (match === null) return undefined;
  const power = match[2] ? UNITS.indexOf(match[2].toLowerCase()) + 1 : 0;
  const bytes = Math.floor(Number(match[1]) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
