/** Fields of a header that a test wants to be other than ordinary. Strings have one character per byte (latin1). */
export interface TarFields {
  name: string;
  type?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  linkName?: string;
  major?: number;
  minor?: number;
  prefix?: string;
  /** What the header says; by default the content's length. */
  size?: number;
  magic?: "ustar" | "gnu" | "v7" | "star";
  /** Number fields in base 256, as GNU tar writes large ones. */
  base256?: boolean;
  /** Changes the finished header, before its checksum is computed. */
  patch?: (block: Buffer) => void;
  /** "signed" as old writers had it; a number is written as it is. */
  checksum?: "unsigned" | "signed" | number;
}

const BLOCK = 512;
const MAGIC = { ustar: "ustar\x0000", gnu: "ustar  \0", v7: "", star: "ustar\x0000" };

/** Makes tar archives of every kind, malformed ones too, independently of what reads them. */
export class TarBuilder {
  readonly #parts: Buffer[] = [];

  add(fields: TarFields, content: Buffer | string = ""): this {
    const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
    return this.raw(tarHeader(fields, bytes.length)).raw(pad(bytes));
  }

  file(name: string, content: Buffer | string = "", fields: Partial<TarFields> = {}): this {
    return this.add({ name, ...fields }, content);
  }

  directory(name: string, fields: Partial<TarFields> = {}): this {
    return this.add({ name, type: "5", mode: 0o755, ...fields });
  }

  symlink(name: string, linkName: string, fields: Partial<TarFields> = {}): this {
    return this.add({ name, type: "2", mode: 0o777, linkName, ...fields });
  }

  hardLink(name: string, linkName: string): this {
    return this.add({ name, type: "1", linkName });
  }

  /** A PAX header for the next entry, or (type "g") for all that follow. */
  pax(records: Record<string, string | Buffer> | [string, string | Buffer][], type: "x" | "g" = "x"): this {
    const pairs = Array.isArray(records) ? records : Object.entries(records);
    const payload = Buffer.concat(pairs.map(([key, value]) => paxRecord(key, value)));
    return this.add({ name: "pax", type }, payload);
  }

  /** GNU's long name ("L") or link target ("K") for the next entry. */
  gnuLong(type: "L" | "K", value: string): this {
    return this.add({ name: "././@LongLink", type, magic: "gnu" }, `${value}\0`);
  }

  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }

  /** The archive as far as it goes, without its end. */
  unfinished(): Buffer {
    return Buffer.concat(this.#parts);
  }

  finish(): Buffer {
    return Buffer.concat([...this.#parts, Buffer.alloc(2 * BLOCK)]);
  }
}

export function tarHeader(fields: TarFields, contentLength = 0): Buffer {
  const block = Buffer.alloc(BLOCK);
  const magic = fields.magic ?? "ustar";
  const number = (value: number, at: number, length: number) =>
    fields.base256 || value < 0 ? base256(block, value, at, length) : octal(block, value, at, length);
  block.write(fields.name, 0, 100, "latin1");
  number(fields.mode ?? 0o644, 100, 8);
  number(fields.uid ?? 0, 108, 8);
  number(fields.gid ?? 0, 116, 8);
  number(fields.size ?? contentLength, 124, 12);
  number(fields.mtime ?? 0, 136, 12);
  block.write(fields.type ?? "0", 156, 1, "latin1");
  block.write(fields.linkName ?? "", 157, 100, "latin1");
  block.write(MAGIC[magic], 257, 8, "latin1");
  if (fields.type === "3" || fields.type === "4") {
    number(fields.major ?? 0, 329, 8);
    number(fields.minor ?? 0, 337, 8);
  }
  block.write(fields.prefix ?? "", 345, magic === "star" ? 131 : 155, "latin1");
  if (magic === "star") block.write("tar\0", 508, "latin1");
  fields.patch?.(block);
  writeChecksum(block, fields.checksum ?? "unsigned");
  return block;
}

export function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), asBuffer(value), Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function asBuffer(value: string | Buffer): Buffer {
  return typeof value === "string" ? Buffer.from(value, "latin1") : value;
}

function octal(block: Buffer, value: number, at: number, length: number): void {
  block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, length, "latin1");
}

function base256(block: Buffer, value: number, at: number, length: number): void {
  let left = BigInt(value);
  for (let i = length - 1; i >= 0; i--) {
    block[at + i] = Number(left & 0xffn);
    left >>= 8n;
  }
  block[at] = (block[at] ?? 0) | 0x80;
}

function writeChecksum(block: Buffer, kind: "unsigned" | "signed" | number): void {
  block.fill(" ", 148, 156);
  let sum = 0;
  for (const byte of block) sum += kind === "signed" && byte > 127 ? byte - 256 : byte;
  if (typeof kind === "number") sum = kind;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
}
