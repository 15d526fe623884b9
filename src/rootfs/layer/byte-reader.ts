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
