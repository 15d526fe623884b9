import type { pseudoRandom } from "../../guest/frame-builder.js";

type Random = ReturnType<typeof pseudoRandom>;

const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x10001, 0x7fffffff, 0x80000000, 0xffffffff];

type Mutation = (input: Buffer, random: Random, others: readonly Buffer[]) => Buffer;

const MUTATIONS: Mutation[] = [
  (input, random) => changed(input, (bytes) => flip(bytes, random(bytes.length), 1 << random(8))),
  (input, random) => changed(input, (bytes) => (bytes[random(bytes.length)] = random(256))),
  (input, random) => changed(input, (bytes) => add(bytes, random(bytes.length), random(2) ? 1 : 255)),
  (input, random) => changed(input, (bytes) => edge(bytes, random)),
  (input, random) => input.subarray(0, random(input.length + 1)),
  (input, random) => {
    const at = random(input.length + 1);
    return Buffer.concat([input.subarray(0, at), input.subarray(at + 1 + random(8))]);
  },
  (input, random) => {
    const at = random(input.length + 1);
    const added = Buffer.from(Array.from({ length: 1 + random(16) }, () => random(256)));
    return Buffer.concat([input.subarray(0, at), added, input.subarray(at)]);
  },
  (input, random) => {
    const [from, to] = [random(input.length + 1), random(input.length + 1)];
    return Buffer.concat([input.subarray(0, to), input.subarray(from, from + 1 + random(64)), input.subarray(to)]);
  },
  (input, random, others) => {
    const other = others[random(others.length)] ?? input;
    return Buffer.concat([input.subarray(0, random(input.length + 1)), other.subarray(random(other.length + 1))]);
  },
];

/** Some small changes of an input, which may take pieces of the others. */
export function mutate(input: Buffer, random: Random, others: readonly Buffer[], most: number): Buffer {
  let bytes = input;
  for (let count = 1 + random(4); count > 0; count--)
    bytes = MUTATIONS[random(MUTATIONS.length)]!(bytes, random, others);
  return Buffer.from(bytes.subarray(0, most));
}

function changed(input: Buffer, change: (bytes: Buffer) => unknown): Buffer {
  const bytes = Buffer.from(input);
  if (bytes.length > 0) change(bytes);
  return bytes;
}

function flip(bytes: Buffer, at: number, bits: number): void {
  bytes.writeUInt8(bytes.readUInt8(at) ^ bits, at);
}

function add(bytes: Buffer, at: number, amount: number): void {
  bytes.writeUInt8((bytes.readUInt8(at) + amount) % 256, at);
}

/** A number at which things tend to go wrong, in either order of bytes. */
function edge(bytes: Buffer, random: Random): void {
  const size = [1, 2, 4][random(3)]!;
  if (bytes.length < size) return;
  const value = EDGES[random(EDGES.length)]! % 2 ** (8 * size);
  const at = random(bytes.length - size + 1);
  if (random(2)) bytes.writeUIntLE(value, at, size);
  else bytes.writeUIntBE(value, at, size);
}
