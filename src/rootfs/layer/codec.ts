import type { Transform } from "node:stream";
import { ImageError } from "../../errors.js";

/** What a stream of zlib needs larger than by default: a promise and a call per piece are what it costs beside its work. */
export const OUTPUT_CHUNK = 256 * 1024;

/** One of zlib's decompressing streams. */
export type Codec = Transform & {
  /** Bytes that it has taken, of those that were written. */
  readonly bytesWritten: number;
};

/** Where {@link runCodec} gets its bytes. */
export interface CodecInput {
  /** The next bytes, `undefined` at the end. */
  next(): Promise<Buffer | undefined>;
  /** The codec is done, and did not need the last `length` bytes of `last`. */
  unused(last: Buffer, length: number): void;
}

/**
 * Runs bytes through a codec until it or its input is at the end.
 *
 * @throws ImageError when the codec refuses the bytes, or wants more; `what` names them.
 */
export async function* runCodec(input: CodecInput, codec: Codec, what: string): AsyncGenerator<Buffer> {
  const feed = new Feed(input, codec);
  try {
    for await (const chunk of codec) yield chunk as Buffer;
  } catch (error) {
    feed.throwFailure();
    throw new ImageError(`The ${what} is damaged or truncated: ${(error as Error).message}`, { cause: error });
  } finally {
    codec.destroy();
  }
  await feed.done;
  feed.throwFailure();
}

/** Writes to a codec piece by piece, so that it is known how much of the last one it took. */
class Feed {
  /** Is fulfilled when the codec gets no more, for whatever reason. */
  readonly done: Promise<void>;
  readonly #codec: Codec;
  #failure: { error: unknown } | undefined;

  constructor(input: CodecInput, codec: Codec) {
    this.#codec = codec;
    this.done = this.#run(input).catch((error: unknown) => {
      this.#failure = { error };
      codec.destroy(error as Error);
    });
  }

  throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async #run(input: CodecInput): Promise<void> {
    let wake = () => {};
    for (const event of ["end", "close", "error"]) this.#codec.once(event, () => wake());
    let written = 0;
    for (;;) {
      const chunk = await input.next();
      if (!chunk || this.#codec.destroyed) break;
      written += chunk.length;
      await new Promise<void>((resolve) => {
        wake = resolve;
        this.#codec.write(chunk, () => resolve());
      });
      if (this.#codec.destroyed) return;
      // A codec that is at its end leaves what it did not need, without saying so.
      const left = written - this.#codec.bytesWritten;
      if (left > 0) return input.unused(chunk, left);
    }
    this.#codec.end();
  }
}
