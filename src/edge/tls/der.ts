// As much of ASN.1's distinguished encoding (X.690) as a certificate is made of.

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;
const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

export const sequence = (...parts: Buffer[]): Buffer => element(TAG.sequence, ...parts);
export const set = (...parts: Buffer[]): Buffer => element(TAG.set, ...parts);
export const octets = (content: Buffer): Buffer => element(TAG.octetString, content);
export const text = (content: string): Buffer => element(TAG.utf8String, Buffer.from(content, "utf8"));
export const yes = (): Buffer => element(TAG.boolean, Buffer.from([0xff]));
/** An implicitly tagged field. */
export const field = (number: number, content: Buffer): Buffer => element(CONTEXT | number, content);
/** An explicitly tagged field, or one that is implicitly tagged and has parts. */
export const fields = (number: number, ...parts: Buffer[]): Buffer => element(CONTEXT | CONSTRUCTED | number, ...parts);

/** A whole number that is not negative, from its bytes. */
export function integer(bytes: Buffer): Buffer {
  const isHigh = ((bytes[0] ?? 0) & 0x80) !== 0;
  return element(TAG.integer, isHigh ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

/** Bits, as many as the last byte has but for `unused`. */
export function bits(content: Buffer, unused = 0): Buffer {
  return element(TAG.bitString, Buffer.from([unused]), content);
}

/** An object identifier such as `2.5.29.17`. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const septets = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      septets.unshift((left & 0x7f) | 0x80);
    return septets;
  });
  return element(TAG.oid, Buffer.from(bytes));
}

/** As RFC 5280 wants it: with two digits for years before 2050. */
export function time(date: Date): Buffer {
  const digits = `${date.toISOString().replace(/[-:T]|\..*/g, "")}Z`;
  if (date.getUTCFullYear() < 2050) return element(TAG.utcTime, Buffer.from(digits.slice(2)));
  return element(TAG.generalizedTime, Buffer.from(digits));
}

function element(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content]);
}

function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let left = length; left > 0; left >>>= 8) bytes.unshift(left & 0xff);
  return [0x80 | bytes.length, ...bytes];
}
