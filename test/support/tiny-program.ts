const BASE = 0x10000;
const SIZES = { "386": { header: 52, program: 32 }, amd64: { header: 64, program: 56 } } as const;

/** A static program of a few dozen bytes that prints a text and ends: what tells one architecture from another. */
export function tinyProgram(architecture: "386" | "amd64", text: string): Buffer {
  const { header, program } = SIZES[architecture];
  const start = header + program;
  const code = architecture === "386" ? code386 : codeAmd64;
  const length = code(0, 0).length;
  const body = Buffer.concat([code(BASE + start + length, text.length), Buffer.from(text)]);
  const wide = architecture === "amd64";
  return Buffer.concat([elfHeader(wide, start), programHeader(wide, start + body.length), body]);
}

/** write(1, address, length); exit(0): the numbers are of the 32-bit table. */
function code386(address: number, length: number): Buffer {
  const move = (opcode: number, value: number) => [opcode, ...le32(value)];
  const write = [...move(0xb8, 4), ...move(0xbb, 1), ...move(0xb9, address), ...move(0xba, length), 0xcd, 0x80];
  return Buffer.from([...write, ...move(0xb8, 1), ...move(0xbb, 0), 0xcd, 0x80]);
}

function codeAmd64(address: number, length: number): Buffer {
  const move = (opcode: number, value: number) => [opcode, ...le32(value)];
  const write = [...move(0xb8, 1), ...move(0xbf, 1), ...move(0xbe, address), ...move(0xba, length), 0x0f, 0x05];
  return Buffer.from([...write, ...move(0xb8, 60), ...move(0xbf, 0), 0x0f, 0x05]);
}

/** The format: ELF-64 Object File Format 1.5, and the System V ABI's chapter 4 for 32 bits. */
function elfHeader(wide: boolean, entry: number): Buffer {
  const word = wide ? le64 : le32;
  const { header, program } = wide ? SIZES.amd64 : SIZES["386"];
  const ident = [0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const machine = wide ? 62 : 3;
  const kind = [...le16(2), ...le16(machine), ...le32(1)];
  const places = [...word(BASE + entry), ...word(header), ...word(0), ...le32(0)];
  return Buffer.from([...ident, ...kind, ...places, ...[header, program, 1, 0, 0, 0].flatMap(le16)]);
}

function programHeader(wide: boolean, size: number): Buffer {
  const [load, readAndRun] = [1, 5];
  const page = 0x1000;
  if (wide) {
    const places = [0, BASE, BASE, size, size, page].flatMap(le64);
    return Buffer.from([...le32(load), ...le32(readAndRun), ...places]);
  }
  return Buffer.from([load, 0, BASE, BASE, size, size, readAndRun, page].flatMap(le32));
}

function le16(value: number): number[] {
  return [value & 0xff, value >> 8];
}

function le32(value: number): number[] {
  return [...le16(value & 0xffff), ...le16(value >>> 16)];
}

function le64(value: number): number[] {
  return [...le32(value), 0, 0, 0, 0];
}
