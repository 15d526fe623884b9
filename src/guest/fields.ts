const HEADER_BYTES = 6;
const IGNORABLE = 0x8000;

/** Builds a payload out of fields: `u16 tag, u32 length, bytes`. */
export class FieldWriter {
  readonly #parts: Buffer[] = [];

  /** The kind or operation that the payload begins with. */
  kind(kind: number): this {
    const bytes = Buffer.allocUnsafe(2);
    bytes.writeUInt16LE(kind);
    this.#parts.push(bytes);
    return this;
  }

  bytes(tag: number, value: Uint8Array): this {
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header.writeUInt16LE(tag, 0);
    header.writeUInt32LE(value.length, 2);
    this.#parts.push(header, Buffer.from(value.buffer, value.byteOffset, value.byteLength));
    return this;
  }

  string(tag: number, value: string): this {
    return this.bytes(tag, Buffer.from(value));
  }

  u8(tag: number, value: number): this {
    return this.bytes(tag, Buffer.from([value]));
  }

  u16(tag: number, value: number): this {
    const bytes = Buffer.allocUnsafe(2);
    bytes.writeUInt16LE(value);
    return this.bytes(tag, bytes);
  }

  u32(tag: number, value: number): this {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32LE(value);
    return this.bytes(tag, bytes);
  }

  u64(tag: number, value: bigint): this {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigUInt64LE(value);
    return this.bytes(tag, bytes);
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** The fields of a payload of the agent, by tag; a tag that comes twice or is not `known` is an error. */
export class Fields {
  readonly #values = new Map<number, Buffer>();

  constructor(payload: Buffer, known: readonly number[]) {
    let at = 0;
    while (at < payload.length) {
      if (payload.length - at < HEADER_BYTES) throw new Error("a field without its header");
      const tag = payload.readUInt16LE(at);
      const end = at + HEADER_BYTES + payload.readUInt32LE(at + 2);
      if (end > payload.length) throw new Error("a field that is longer than its frame");
      if (this.#values.has(tag) || (!known.includes(tag) && (tag & IGNORABLE) === 0))
        throw new Error(`an unexpected field ${tag}`);
      this.#values.set(tag, payload.subarray(at + HEADER_BYTES, end));
      at = end;
    }
  }

  has(tag: number): boolean {
    return this.#values.has(tag);
  }

  u16(tag: number): number {
    return this.#sized(tag, 2).readUInt16LE();
  }

  u32(tag: number): number {
    return this.#sized(tag, 4).readUInt32LE();
  }

  u64(tag: number): bigint {
    return this.#sized(tag, 8).readBigUInt64LE();
  }

  bytes(tag: number): Buffer {
    const value = this.#values.get(tag);
    if (value === undefined) throw new Error(`no field ${tag}`);
    return value;
  }

  /** For people: what would move a terminal's cursor or colour it is replaced. */
  text(tag: number): string {
    const value = this.#values.get(tag)?.toString("utf8") ?? "";
    return value.replace(/\p{Cc}/gu, "\u{fffd}").slice(0, 1_000);
  }

  #sized(tag: number, size: number): Buffer {
    const value = this.#values.get(tag);
    if (value?.length !== size) throw new Error(`a field ${tag} that is not ${size} bytes`);
    return value;
  }
}
