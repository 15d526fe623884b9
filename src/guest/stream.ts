import type { VmError } from "../errors.js";
import { FLAG_TRUNCATED, type Frame, FrameType } from "./frames.js";

/** What a stream needs of its link. */
export interface StreamLink {
  readonly receiveWindow: number;
  /** The longest DATA frame, so that streams share the link fairly. */
  readonly dataMax: number;
  send(frame: Omit<Frame, "payload">, payload?: Buffer): void;
  /** Puts the stream on the list of those with data to send. */
  wantToSend(stream: GuestStream): void;
  forget(stream: GuestStream, closedByUs: boolean): void;
}

/** What becomes of a stream. Each is called by the link, never from within a call into the stream. */
export interface StreamHandler {
  data(channel: number, bytes: Buffer): void;
  end(channel: number, truncated: boolean): void;
  /** RESULT; true when it is the last frame of the stream. */
  result(kind: number, payload: Buffer): boolean;
  failed(error: Error): void;
}

/** Parameters of a stream that the host opens. */
export interface StreamShape {
  /** How many channels the agent sends on. */
  outputs: number;
  /** What the agent may receive on channel 0. */
  sendCredit: number;
  /** What may be received on each channel; the link's own window unless it is given. */
  receiveWindow?: number;
  /** Lets the window of each channel grow with what is consumed. */
  growth?: WindowGrowth;
  /** Each write is one frame, and what cannot leave in time is lost. */
  datagrams?: boolean;
}

/** How far the windows of many channels may grow, each and together. */
export interface WindowGrowth {
  /** Bytes of one. */
  most: number;
  /** Gives so many bytes of what all may have together, or false. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

/** What may wait of datagrams until the agent allows more. */
const DATAGRAMS_PENDING_MAX = 262_144;

interface Pending {
  bytes: Buffer;
  done: (error?: Error | null) => void;
}

/** One stream of a link: the credit of its channels, and the data that waits for credit. */
export class GuestStream {
  readonly id: number;
  readonly #link: StreamLink;
  readonly #handler: StreamHandler;
  readonly #allowed: number[];
  readonly #consumed: number[];
  readonly #windows: number[];
  readonly #ended: boolean[];
  readonly #growth: WindowGrowth | undefined;
  readonly #datagrams: boolean;
  #grown = 0;
  #pendingBytes = 0;
  #credit: number;
  #pending: Pending[] = [];
  #finishing: (() => void) | undefined;
  #over = false;

  constructor(link: StreamLink, id: number, shape: StreamShape, handler: StreamHandler) {
    this.id = id;
    this.#link = link;
    this.#handler = handler;
    this.#credit = shape.sendCredit;
    this.#growth = shape.growth;
    this.#datagrams = shape.datagrams ?? false;
    const window = shape.receiveWindow ?? link.receiveWindow;
    this.#windows = Array.from({ length: shape.outputs }, () => window);
    this.#allowed = [...this.#windows];
    this.#consumed = Array.from({ length: shape.outputs }, () => 0);
    this.#ended = Array.from({ length: shape.outputs }, () => false);
  }

  get over(): boolean {
    return this.#over;
  }

  /** Sends bytes as credit allows; `done` is called once they are on their way. */
  write(bytes: Buffer, done: Pending["done"]): void {
    if (this.#over) {
      done(new Error("the stream has ended"));
    } else {
      this.#pending.push({ bytes, done });
      this.#link.wantToSend(this);
    }
  }

  /** Sends one datagram when credit allows; what is too much to wait for is lost. */
  writeDatagram(bytes: Buffer): void {
    if (this.#over || this.#pendingBytes + bytes.length > DATAGRAMS_PENDING_MAX) return;
    this.#pendingBytes += bytes.length;
    this.write(bytes, () => {
      this.#pendingBytes -= bytes.length;
    });
  }

  /** No more bytes will be written; `done` is called once that is said, or when nobody cares any more. */
  end(done: () => void): void {
    if (this.#over) {
      done();
    } else {
      this.#finishing = done;
      this.#link.wantToSend(this);
    }
  }

  control(payload: Buffer): void {
    if (!this.#over) this.#link.send(this.#header(FrameType.control, 0), payload);
  }

  /** The consumer has taken bytes of a channel: the agent may send as many more. */
  consumed(channel: number, bytes: number): void {
    if (this.#over || this.#ended[channel]) return;
    let total = (this.#consumed[channel] ?? 0) + bytes;
    // Few frames of credit, but always before the agent runs dry.
    if (total < (this.#windows[channel] ?? 0) / 4) {
      this.#consumed[channel] = total;
      return;
    }
    this.#consumed[channel] = 0;
    total += this.#grow(channel, total);
    this.#allowed[channel] = (this.#allowed[channel] ?? 0) + total;
    const payload = Buffer.allocUnsafe(4);
    payload.writeUInt32LE(total);
    this.#link.send(this.#header(FrameType.credit, channel), payload);
  }

  /** Ends the stream from our side; what it runs is killed. */
  close(): void {
    if (this.#over) return;
    this.#link.send(this.#header(FrameType.close, 0));
    this.#finish();
    this.#link.forget(this, true);
  }

  /** For the link: sends one frame if it can; true when there is more to send at once. */
  sendSome(): boolean {
    const first = this.#pending[0];
    if (first === undefined) return this.#sendEnd();
    if (this.#credit === 0 || (this.#datagrams && this.#credit < first.bytes.length)) return false;
    const bytes = this.#datagrams ? first.bytes : first.bytes.subarray(0, Math.min(this.#link.dataMax, this.#credit));
    if (bytes.length > 0 || this.#datagrams) this.#link.send(this.#header(FrameType.data, 0), bytes);
    this.#credit -= bytes.length;
    first.bytes = first.bytes.subarray(bytes.length);
    if (first.bytes.length === 0) {
      this.#pending.shift();
      first.done();
    }
    return this.#pending.length > 0 ? this.#credit > 0 : this.#finishing !== undefined;
  }

  /** For the link: a frame for this stream came. Throws when it breaks the protocol. */
  take(frame: Frame): void {
    if (frame.type === FrameType.data) this.#takeData(frame);
    else if (frame.type === FrameType.end) this.#takeEnd(frame);
    else if (frame.type === FrameType.credit) this.#takeCredit(frame);
    else this.#takeResult(frame);
  }

  /** For the link: the session is gone. */
  fail(error: VmError): void {
    if (this.#over) return;
    this.#finish();
    this.#handler.failed(error);
  }

  /** Everything that was to come has come. */
  complete(): void {
    if (this.#over) return;
    this.#finish();
    this.#link.forget(this, false);
  }

  /** More than before, for a consumer that keeps up. */
  #grow(channel: number, wanted: number): number {
    const window = this.#windows[channel] ?? 0;
    const bytes = Math.min(wanted, (this.#growth?.most ?? 0) - window);
    if (bytes <= 0 || !this.#growth?.take(bytes)) return 0;
    this.#windows[channel] = window + bytes;
    this.#grown += bytes;
    return bytes;
  }

  #takeData(frame: Frame): void {
    const allowed = this.#allowed[frame.channel];
    if (allowed === undefined) throw new Error(`DATA on channel ${frame.channel}`);
    if (this.#ended[frame.channel]) throw new Error("DATA after END");
    if (frame.payload.length > allowed) throw new Error("more DATA than was allowed");
    this.#allowed[frame.channel] = allowed - frame.payload.length;
    if (frame.payload.length > 0 || this.#datagrams) this.#handler.data(frame.channel, frame.payload);
  }

  #takeEnd(frame: Frame): void {
    if (this.#ended[frame.channel] !== false) throw new Error(`END on channel ${frame.channel}`);
    this.#ended[frame.channel] = true;
    this.#handler.end(frame.channel, (frame.flags & FLAG_TRUNCATED) !== 0);
  }

  #takeCredit(frame: Frame): void {
    if (frame.payload.length !== 4 || frame.channel !== 0) throw new Error("a malformed CREDIT");
    this.#credit += frame.payload.readUInt32LE();
    if (this.#credit > 2 ** 31) throw new Error("CREDIT for more than was sent");
    this.#link.wantToSend(this);
  }

  #takeResult(frame: Frame): void {
    if (frame.payload.length < 2) throw new Error("a RESULT without a kind");
    const last = this.#handler.result(frame.payload.readUInt16LE(), frame.payload.subarray(2));
    if (last) this.complete();
  }

  #sendEnd(): boolean {
    const done = this.#finishing;
    if (done === undefined) return false;
    this.#finishing = undefined;
    this.#link.send(this.#header(FrameType.end, 0));
    done();
    return false;
  }

  #finish(): void {
    this.#over = true;
    if (this.#grown > 0) this.#growth?.giveBack(this.#grown);
    const pending = this.#pending;
    this.#pending = [];
    for (const each of pending) each.done(new Error("the stream has ended"));
    this.#finishing?.();
    this.#finishing = undefined;
  }

  #header(type: number, channel: number): Omit<Frame, "payload"> {
    return { type, channel, flags: 0, stream: this.id };
  }
}
