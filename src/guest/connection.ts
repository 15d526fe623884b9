import { Duplex } from "node:stream";
import { VmError } from "../errors.js";
import { decodeFailure, ResultKind } from "./failure.js";
import type { GuestStream, StreamHandler } from "./stream.js";
import { WaitingBytes } from "./waiting-bytes.js";

/** A connection could not be made, or broke; `code` is the guest's, such as `ECONNREFUSED` or `ECONNRESET`. */
export class GuestConnectionError extends VmError {
  readonly errno: string;

  constructor(errno: string, text = "") {
    super(`The connection in the guest failed: ${errno}${text && ` (${text})`}`);
    this.errno = errno;
  }
}

/** What happens on a connection, besides its bytes. */
export interface ConnectionEvents {
  /** It stands. */
  started: () => void;
  /** Nothing of it is left in the guest; with the error that ended it. */
  over: (error?: Error) => void;
}

/** A connection to a socket in the guest. Ending it closes one direction, as TCP does; destroying it resets it. */
export class GuestConnection extends Duplex {
  /** What the link calls. */
  readonly handler: StreamHandler;
  readonly #events: ConnectionEvents;
  readonly #waiting = new WaitingBytes(() => this.#flow());
  #stream: GuestStream | undefined;
  #wanted = false;
  #ended = false;
  #endPushed = false;
  #over = false;

  constructor(events: ConnectionEvents) {
    super({ allowHalfOpen: true, highWaterMark: 65_536 });
    this.#events = events;
    this.handler = {
      data: (_channel, bytes) => this.#take(bytes),
      end: () => this.#end(),
      result: (kind, payload) => this.#result(kind, payload),
      failed: (error) => this.#fail(error),
    };
  }

  attach(stream: GuestStream): void {
    this.#stream = stream;
  }

  override _read(): void {
    this.#wanted = true;
    this.#flow();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#stream) this.#stream.write(chunk, done);
    else done(new GuestConnectionError("ENOTCONN"));
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#stream) this.#stream.end(() => done());
    else done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream?.consumed(0, this.#waiting.clear());
    // Once both directions have ended in order, the agent still has to bring the last bytes to the socket.
    if (!this.#over && (error || !this.#ended || !this.writableFinished)) {
      this.#stream?.close();
      this.#finish();
    }
    done(error);
  }

  #take(bytes: Buffer): void {
    if (this.destroyed) this.#stream?.consumed(0, bytes.length);
    else this.#waiting.push(bytes);
  }

  #end(): void {
    this.#ended = true;
    this.#flow();
  }

  #result(kind: number, payload: Buffer): boolean {
    if (kind === ResultKind.started) {
      this.#events.started();
      return false;
    }
    if (kind === ResultKind.failed) {
      const { errno, text } = decodeFailure(payload);
      this.#fail(new GuestConnectionError(errno, text));
      return true;
    }
    if (kind !== ResultKind.done || !this.#ended) throw new Error(`an unexpected RESULT ${kind} for a connection`);
    this.#finish();
    return true;
  }

  #fail(error: Error): void {
    this.#finish(error);
    // Without a listener an error event would end the host's process; the user of the stream still sees that it was cut short.
    if (this.listenerCount("error") === 0) this.on("error", () => {});
    this.destroy(error);
  }

  #finish(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.over(error);
  }

  #flow(): void {
    while (this.#wanted) {
      const bytes = this.#waiting.shift();
      if (bytes === undefined) break;
      this.#wanted = this.push(bytes);
      this.#stream?.consumed(0, bytes.length);
    }
    if (this.#ended && this.#waiting.empty && !this.destroyed && !this.#endPushed) {
      this.#endPushed = true;
      this.push(null);
    }
  }
}
