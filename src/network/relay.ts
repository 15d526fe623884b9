import type { Socket } from "node:net";
import { type Duplex, Transform, type TransformCallback } from "node:stream";
import type { TokenBucket } from "./token-bucket.js";

/** Limits of both directions; undefined for none. */
export interface Rates {
  out: TokenBucket;
  in: TokenBucket;
}

/**
 * Joins a connection of the guest and one of the host: bytes both ways as fast as they are taken, each direction's end and resets.
 * Resolves when both are gone.
 */
export async function relay(guest: Duplex, socket: Socket, rates?: Rates): Promise<void> {
  const gone = Promise.all([closed(guest), closed(socket)]);
  guest.on("error", () => reset(socket));
  socket.on("error", (error) => guest.destroy(error));
  guest.once("close", () => finish(socket, guest.readableEnded));
  socket.once("close", () => finish(guest, socket.readableEnded));
  connect(guest, socket, rates?.out);
  connect(socket, guest, rates?.in);
  await gone;
}

function connect(from: Duplex, to: Duplex, rate: TokenBucket | undefined): void {
  if (rate === undefined) from.pipe(to);
  else from.pipe(new Throttle(rate)).pipe(to);
}

/** One side is gone. What it had said in order, the other still gets. */
function finish(other: Duplex, inOrder: boolean): void {
  if (!inOrder) other.destroy();
}

function reset(socket: Socket): void {
  // A socket that is not connected yet cannot be reset.
  if (socket.readyState === "open" || socket.readyState === "readOnly") socket.resetAndDestroy();
  else socket.destroy();
}

function closed(stream: Duplex): Promise<void> {
  return stream.closed ? Promise.resolve() : new Promise((resolve) => stream.once("close", () => resolve()));
}

/** Passes bytes on no faster than the bucket, which others may share, allows. */
class Throttle extends Transform {
  readonly #rate: TokenBucket;
  #timer: NodeJS.Timeout | undefined;

  constructor(rate: TokenBucket) {
    super({ highWaterMark: 16_384 });
    this.#rate = rate;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const wait = this.#rate.charge(chunk.length);
    if (wait < 1) done(null, chunk);
    else this.#timer = setTimeout(() => done(null, chunk), wait);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    done(error);
  }
}
