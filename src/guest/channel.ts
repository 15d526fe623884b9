import { Readable, Writable } from "node:stream";
import type { GuestStream } from "./stream.js";

/**
 * Frames smaller than this are gathered in blocks of this size: a guest that sends single bytes would otherwise cost a hundred
 * times as much memory as its credit.
 */
const BLOCK_BYTES = 4096;

/** One channel from the agent as a Node stream. What nobody reads is never more than the channel's credit. */
export class ChannelReadable extends Readable {
  readonly #consumed: (bytes: number) => void;
  readonly #waiting: Buffer[] = [];
  #block = Buffer.alloc(0);
  #blockUsed = 0;
  /** Where in the block the last of `waiting` begins, if it is in the block. */
  #blockFrom: number | undefined;
  #flowing = false;
  #wanted = false;
  #ended = false;

  /** `consumed` is told of bytes that have left the channel's window. */
  constructor(consumed: (bytes: number) => void) {
    super({ highWaterMark: 65_536 });
    this.#consumed = consumed;
  }

  /** Bytes came. */
  deliver(bytes: Buffer): void {
    if (this.destroyed) {
      this.#consumed(bytes.length);
    } else {
      this.#keep(bytes);
    }
  }

  /** Whether all has come. */
  get finished(): boolean {
    return this.#ended;
  }

  /** Nothing more will come. */
  finish(): void {
    this.#ended = true;
    this.#flow();
  }

  override _read(): void {
    this.#wanted = true;
    this.#flow();
  }

  /** A reader that has had enough does not stop the process: what it still writes is thrown away. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    for (const bytes of this.#waiting.splice(0)) this.#consumed(bytes.length);
    done(error);
  }

  #keep(bytes: Buffer): void {
    if (bytes.length >= BLOCK_BYTES) {
      this.#blockFrom = undefined;
      this.#waiting.push(bytes);
      this.#flow();
      return;
    }
    this.#gather(bytes);
    // Not at once: more such frames may be in what the socket has just given.
    if (this.#flowing) return;
    this.#flowing = true;
    process.nextTick(() => {
      this.#flowing = false;
      this.#flow();
    });
  }

  #gather(bytes: Buffer): void {
    if (this.#blockUsed + bytes.length > this.#block.length) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#blockUsed = 0;
      this.#blockFrom = undefined;
    }
    bytes.copy(this.#block, this.#blockUsed);
    if (this.#blockFrom === undefined) this.#blockFrom = this.#blockUsed;
    else this.#waiting.pop();
    this.#blockUsed += bytes.length;
    this.#waiting.push(this.#block.subarray(this.#blockFrom, this.#blockUsed));
  }

  #flow(): void {
    while (this.#wanted) {
      const bytes = this.#waiting.shift();
      if (bytes === undefined) break;
      if (this.#waiting.length === 0) this.#blockFrom = undefined;
      this.#wanted = this.push(bytes);
      this.#consumed(bytes.length);
    }
    if (this.#ended && this.#waiting.length === 0 && !this.readableEnded) {
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
