import { Readable, Writable } from "node:stream";
import type { GuestStream } from "./stream.js";
import { WaitingBytes } from "./waiting-bytes.js";

/** One channel from the agent as a Node stream. What nobody reads is never more than the channel's credit. */
export class ChannelReadable extends Readable {
  readonly #consumed: (bytes: number) => void;
  readonly #waiting = new WaitingBytes(() => this.#flow());
  #wanted = false;
  #ended = false;
  #finished = false;

  /** `consumed` is told of bytes that have left the channel's window. */
  constructor(consumed: (bytes: number) => void) {
    super({ highWaterMark: 65_536 });
    this.#consumed = consumed;
  }

  /** Bytes came. */
  deliver(bytes: Buffer): void {
    if (this.destroyed) this.#consumed(bytes.length);
    else this.#waiting.push(bytes);
  }

  /** Whether all has come. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Nothing more will come. */
  finish(): void {
    this.#finished = true;
    this.#ended = true;
    this.#flow();
  }

  override _read(): void {
    this.#wanted = true;
    this.#flow();
  }

  /** A reader that has had enough does not stop the process: what it still writes is thrown away. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#consumed(this.#waiting.clear());
    done(error);
  }

  #flow(): void {
    while (this.#wanted) {
      const bytes = this.#waiting.shift();
      if (bytes === undefined) break;
      this.#wanted = this.push(bytes);
      this.#consumed(bytes.length);
    }
    if (this.#ended && this.#waiting.empty && !this.readableEnded) {
      this.#ended = false;
      this.push(null);
    }
  }
}

/** Channel 0 to the agent as a Node stream; a write is done when credit has let it leave. */
export class ChannelWritable extends Writable {
  readonly #stream: () => GuestStream | undefined;

  constructor(stream: () => GuestStream | undefined) {
    super({ highWaterMark: 65_536 });
    this.#stream = stream;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const stream = this.#stream();
    if (stream === undefined) done(new Error("this process has no standard input"));
    else stream.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    const stream = this.#stream();
    if (stream === undefined) done();
    else stream.end(() => done());
  }
}
