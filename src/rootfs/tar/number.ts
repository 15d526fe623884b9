import { Malformed } from "../malformed.js";

const SPACE = 0x20;
const ZERO = 0x30;

/**
 * A number field of a tar header: octal digits (POSIX), or base 256 when the first bit is set (GNU).
 * Blank fields are 0, as every reader has it.
 */
export function parseField(block: Buffer, offset: number, length: number, what: string): number {
  const first = block[offset] ?? 0;
  return first & 0x80 ? parseBase256(block, offset, length, what) : parseOctal(block, offset, length, what);
}

function parseOctal(block: Buffer, offset: number, length: number, what: string): number {
  let at = offset;
  let end = offset + length;
  while (at < end && isBlank(block[at])) at++;
  while (end > at && isBlank(block[end - 1])) end--;
  let value = 0;
  for (; at < end; at++) {
    const byte = block[at] ?? 0;
    // Some writers end the digits with a NUL and leave garbage behind it.
    if (isBlank(byte)) break;
    if (byte < ZERO || byte > ZERO + 7) throw new Malformed(`its ${what} is not a number`);
    value = value * 8 + (byte - ZERO);
  }
  return inRange(value, what);
}

function parseBase256(block: Buffer, offset: number, length: number, what: string): number {
  const negative = ((block[offset] ?? 0) & 0x40) !== 0;
  const invert = negative ? 0xff : 0;
  let value = 0;
  for (let i = 0; i < length; i++) {
    const byte = (block[offset + i] ?? 0) ^ invert;
    value = value * 256 + (i === 0 ? byte & 0x7f : byte);
  }
  return inRange(negative ? -value - 1 : value, what);
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === 0;
}

/** A decimal integer of a PAX record. */
export function parseDecimal(text: string, what: string): number {
  if (!/^-?\d{1,20}$/.test(text)) throw new Malformed(`its ${what} is not a number`);
  return inRange(Number(text), what);
}

/** A PAX time: decimal seconds, possibly negative, with any number of fractional digits. */
export function parseTime(text: string): { seconds: number; nanoseconds: number } {
  const match = /^(-?)(\d{1,20})(?:\.(\d*))?$/.exec(text);
  if (!match) throw new Malformed("its modification time is not a number");
  const whole = inRange(Number(match[2]), "modification time");
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] !== "-") return { seconds: whole, nanoseconds };
  // A timestamp is seconds plus a fraction that counts upwards, before 1970 too.
  return nanoseconds === 0
    ? { seconds: 0 - whole, nanoseconds: 0 }
    : { seconds: -whole - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

function inRange(value: number, what: string): number {
  if (!Number.isSafeInteger(value)) throw new Malformed(`its ${what} is out of range`);
  return value;
}
