import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { VmError } from "../errors.js";
import { Fields, FieldWriter } from "./fields.js";
import {
  encodeHeader,
  FLAG_MORE,
  type Frame,
  FrameDecoder,
  FrameType,
  MARK,
  NONCE_BYTES,
  PROTOCOL_VERSION,
} from "./frames.js";
import { GuestStream, type StreamHandler, type StreamLink, type StreamShape } from "./stream.js";

const OPEN_PIECE = 65_536;
const OPEN_MAX = 1 << 20;
/** More than this is not put into the socket at once, so that a keystroke is never behind much else. */
const UNSENT_MAX = 65_536;

/** How a link is named and how much each side may send on a new channel, in bytes. */
export interface LinkShape {
  name: "control" | "bulk";
  sendCredit: number;
  receiveWindow: number;
  /** The longest DATA frame that is sent. */
  dataMax: number;
}

/** One byte stream to the agent: its session, and the streams on it. */
export class Link implements StreamLink {
  readonly receiveWindow: number;
  readonly dataMax: number;
  readonly #duplex: Duplex;
  readonly #shape: LinkShape;
  readonly #nonce = randomBytes(NONCE_BYTES);
  readonly #decoder = new FrameDecoder(this.#nonce);
  readonly #streams = new Map<number, GuestStream>();
  /** Streams that we closed, whose last frames may still be on the way. */
  readonly #closing = new Set<number>();
  readonly #onFailure: (error: VmError) => void;
  #ready = new Set<GuestStream>();
  #nextStream = 1;
  #corked = false;
  #held: Buffer[] | undefined;
  #error: VmError | undefined;
  #sessionOk: ((fields: Fields) => void) | undefined;
  #quiesced: (() => void) | undefined;

  constructor(duplex: Duplex, shape: LinkShape, onFailure: (error: VmError) => void) {
    this.#duplex = duplex;
    this.#shape = shape;
    this.receiveWindow = shape.receiveWindow;
    this.dataMax = shape.dataMax;
    this.#onFailure = onFailure;
    duplex.on("data", this.#onData);
    duplex.on("drain", this.#onDrain);
    duplex.on("error", this.#onError);
    duplex.on("close", this.#onClose);
    duplex.on("end", this.#onClose);
  }

  get closed(): boolean {
    return this.#error !== undefined;
  }

  /** Begins a session; `add` adds what only the control link carries. Resolves with the agent's answer. */
  session(add: (fields: FieldWriter) => void = () => {}): Promise<Fields> {
    const fields = new FieldWriter().u16(1, PROTOCOL_VERSION).bytes(2, this.#nonce);
    add(fields);
    return new Promise((resolve) => {
      this.#sessionOk = resolve;
      // After a fault the agent waits for the mark; in order it passes over it.
      this.#write(MARK);
      this.send({ type: FrameType.session, channel: 0, flags: 0, stream: 0 }, fields.toBuffer());
    });
  }

  /** Opens a stream. The payload is the kind and its fields. */
  open(payload: Buffer, outputs: number, handler: StreamHandler, shape: Partial<StreamShape> = {}): GuestStream {
    if (this.#error) throw this.#error;
    if (payload.length > OPEN_MAX) throw new VmError("The request to the guest is larger than 1 MiB");
    const whole = { outputs, sendCredit: this.#shape.sendCredit, ...shape };
    const stream = new GuestStream(this, this.#nextStream, whole, handler);
    this.#nextStream += 2;
    this.#streams.set(stream.id, stream);
    for (let at = 0; at === 0 || at < payload.length; at += OPEN_PIECE) {
      const flags = at + OPEN_PIECE < payload.length ? FLAG_MORE : 0;
      this.send({ type: FrameType.open, channel: 0, flags, stream: stream.id }, payload.subarray(at, at + OPEN_PIECE));
    }
    return stream;
  }

  /** Sends nothing more until {@link resume}, and resolves when the agent has taken in all that was sent. */
  quiesce(): Promise<void> {
    if (this.#error) return Promise.reject(this.#error);
    if (this.#held) return Promise.reject(new VmError("The links to the guest are quiesced already"));
    return new Promise((resolve) => {
      this.#quiesced = resolve;
      this.send({ type: FrameType.quiesce, channel: 0, flags: 0, stream: 0 });
      this.#held = [];
    });
  }

  /** Goes on; `fields` tell the agent what has changed, before all that was held back. */
  resume(fields: FieldWriter): void {
    const held = this.#held;
    this.#held = undefined;
    this.send({ type: FrameType.resume, channel: 0, flags: 0, stream: 0 }, fields.toBuffer());
    for (const bytes of held ?? []) this.#write(bytes);
    this.#pump();
  }

  /** Ends the link; every stream fails with `error`. */
  close(error: VmError): void {
    if (this.#error) return;
    this.detach(error);
    this.#duplex.destroy();
  }

  /** Like {@link close}, but leaves the connection to a link that comes after this one. */
  detach(error: VmError): void {
    if (this.#error) return;
    this.#error = error;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#ready.clear();
    for (const stream of streams) stream.fail(error);
    this.#duplex.off("data", this.#onData);
    this.#duplex.off("drain", this.#onDrain);
    this.#duplex.off("close", this.#onClose);
    this.#duplex.off("end", this.#onClose);
  }

  send(frame: Omit<Frame, "payload">, payload?: Buffer): void {
    this.#write(encodeHeader(frame, payload?.length ?? 0));
    if (payload && payload.length > 0) this.#write(payload);
  }

  wantToSend(stream: GuestStream): void {
    this.#ready.add(stream);
    this.#pump();
  }

  forget(stream: GuestStream, closedByUs: boolean): void {
    this.#ready.delete(stream);
    this.#streams.delete(stream.id);
    if (closedByUs) this.#closing.add(stream.id);
  }

  #write(bytes: Buffer): void {
    if (this.#error) return;
    if (this.#held) {
      this.#held.push(bytes);
      return;
    }
    // All that is sent in one turn leaves in one system call.
    if (!this.#corked) {
      this.#corked = true;
      this.#duplex.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#duplex.uncork();
      });
    }
    this.#duplex.write(bytes);
  }

  /** Round robin: each stream with data sends one frame a turn. */
  #pump(): void {
    while (this.#ready.size > 0 && !this.#held && !this.#error && this.#hasRoom()) {
      const [stream] = this.#ready;
      if (stream === undefined) return;
      this.#ready.delete(stream);
      if (stream.sendSome()) this.#ready.add(stream);
    }
  }

  #hasRoom(): boolean {
    // Where no "drain" would come, there must be room.
    return this.#duplex.writableLength < UNSENT_MAX || !this.#duplex.writableNeedDrain;
  }

  readonly #onDrain = (): void => this.#pump();

  readonly #onData = (chunk: Buffer): void => {
    try {
      this.#decoder.push(chunk, (frame) => this.#take(frame));
    } catch (error) {
      this.#fail(new VmError(`The guest broke the agent's protocol on the ${this.#shape.name} link: ${reason(error)}`));
    }
  };

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    // A QEMU that is killed with something unread in its socket looks like this.
    if (error.code === "ECONNRESET" || error.code === "EPIPE") this.#onClose();
    else this.#fail(new VmError(`The ${this.#shape.name} link to the guest failed`, { cause: error }));
  };

  readonly #onClose = (): void => {
    this.#fail(new VmError(`The ${this.#shape.name} link to the guest was closed: the VM has ended`));
  };

  #fail(error: VmError): void {
    if (!this.#error) this.#onFailure(error);
  }

  #take(frame: Frame): void {
    if (this.#error) return;
    if (frame.flags !== 0 && frame.type !== FrameType.end) throw new Error(`flags on frame type ${frame.type}`);
    if (frame.stream === 0) this.#takeOwn(frame);
    else if (frame.type === FrameType.close) this.#takeClose(frame);
    else this.#takeForStream(frame);
  }

  #takeForStream(frame: Frame): void {
    if (frame.type < FrameType.data || frame.type > FrameType.result || frame.type === FrameType.control) {
      throw new Error(`frame type ${frame.type} for a stream`);
    }
    const stream = this.#streams.get(frame.stream);
    if (stream) stream.take(frame);
    else if (!this.#closing.has(frame.stream)) throw new Error(`a frame for stream ${frame.stream}, which is not open`);
  }

  #takeOwn(frame: Frame): void {
    if (frame.type === FrameType.sessionOk && this.#sessionOk) {
      const answer = this.#sessionOk;
      this.#sessionOk = undefined;
      answer(new Fields(frame.payload, [1, 2, 3]));
    } else if (frame.type === FrameType.quiesced && this.#quiesced) {
      const answer = this.#quiesced;
      this.#quiesced = undefined;
      answer();
    } else if (frame.type === FrameType.fault) {
      const text = frame.payload
        .toString("latin1")
        .replace(/[^ -~]/g, "?")
        .slice(0, 300);
      throw new Error(`the agent ended the session: ${text}`);
    } else {
      throw new Error(`an unexpected frame of type ${frame.type}`);
    }
  }

  #takeClose(frame: Frame): void {
    if (!this.#closing.delete(frame.stream)) throw new Error(`CLOSE of stream ${frame.stream}, which was not closed`);
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
