import { ImageError } from "../../errors.js";

/** Takes bytes out of a stream in the portions that a format needs. */
export class ByteReader {
  readonly #source: AsyncGenerator<Buffer>;
  readonly #what: string;
  #chunk: Buffer = Buffer.alloc(0);

  /** `what` names the stream in errors. */
  constructor(source: AsyncGenerator<Buffer>, what: string) {
    this.#source = source;
    this.#what = what;
  }

  /** Whether the stream is at its end. */
  async atEnd(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done) return true;
      this.#chunk = next.value;
    }
    return false;
  }

  /** The next `length` bytes. The stream must have them. */
  async read(length: number): Promise<Buffer> {
    if (this.#chunk.length >= length) return this.#take(length);
    const parts: Buffer[] = [];
    for (let missing = length; missing > 0; ) {
      if (await this.atEnd()) throw new ImageError(`The ${this.#what} is truncated`);
      const part = this.#take(Math.min(missing, this.#chunk.length));
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts, length);
  }

  /** The byte `offset` further on, which stays there; `undefined` behind the end. */
  async peek(offset: number): Promise<number | undefined> {
    while (this.#chunk.length <= offset) {
      const next = await this.#source.next();
      if (next.done) return undefined;
      this.#chunk = Buffer.concat([this.#chunk, next.value]);
    }
    return this.#chunk[offset];
  }

  /** Some bytes, as many as are at hand; `undefined` at the end. */
  async readSome(): Promise<Buffer | undefined> {
    return (await this.atEnd()) ? undefined : this.#take(this.#chunk.length);
  }

  /** Gives back the last `length` bytes of what {@link readSome} gave last. */
  unread(last: Buffer, length: number): void {
    if (length > 0) this.#chunk = Buffer.concat([last.subarray(last.length - length), this.#chunk]);
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      if (await this.atEnd()) throw new ImageError(`The ${this.#what} is truncated`);
      left -= this.#take(Math.min(left, this.#chunk.length)).length;
    }
  }

  #take(length: number): Buffer {
    const taken = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(length);
    return taken;
  }
}
