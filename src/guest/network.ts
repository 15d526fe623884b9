import { VmError } from "../errors.js";
import { type ConnectionEvents, GuestConnection } from "./connection.js";
import { addressBytes, decodeMessage, type End, type Ends, encodeMessage, MessageKind } from "./ends.js";
import { errnoNumber } from "./errno.js";
import { ResultKind } from "./failure.js";
import { FieldWriter } from "./fields.js";
import type { Link } from "./link.js";
import type { GuestStream, StreamHandler, WindowGrowth } from "./stream.js";

const KIND = { network: 16, accept: 17, connect: 18, connectUdp: 19 } as const;
const FLAG_ALLOWED = 1;
/** A connection's window at its beginning, and at most: 4096 that nobody reads may hold 64 MiB and no more. */
const WINDOW_BYTES = 16_384;
const WINDOW_MOST_BYTES = 1_048_576;
const GROWTH_TOTAL_BYTES = 67_108_864;
const SYN_BYTES_MAX = 100;
const CONNECT_TIMEOUT_MS = 30_000;

/** Why a connection or datagram is refused; the guest's program gets it as this error. */
export type Refusal = "ECONNREFUSED" | "EHOSTUNREACH" | "ENETUNREACH" | "EACCES";

/** A connection that a program of the guest wants to make; it waits for {@link GuestNetwork.accept} or `refuse`. */
export interface ConnectionRequest {
  ends: Ends;
  /** Its first packet, which is given back with the answer. */
  syn: Buffer;
}

/** What the guest sends into its network. Called for as long as the session lives. */
export interface NetworkHandler {
  /** Also called again for the same connection while it waits, as often as the guest tries. */
  connection(request: ConnectionRequest): void;
  datagram(ends: Ends, content: Buffer): void;
}

/** The guest's side of the network: what its programs send, and connections to its ports. */
export class GuestNetwork {
  readonly #link: Link;
  readonly #growth = sharedGrowth();
  readonly #connections = new Set<GuestConnection | GuestDatagrams>();
  #stream: GuestStream | undefined;
  #handler: NetworkHandler | undefined;

  constructor(link: Link) {
    this.#link = link;
  }

  /** Takes what the guest sends, or with `undefined` has the agent answer everything with ENETUNREACH, until it is closed. */
  open(handler: NetworkHandler | undefined): void {
    if (this.#stream) throw new VmError("The guest's network has been opened already");
    // Whoever uses the guest next hears of its end.
    if (this.#link.closed) return;
    this.#handler = handler;
    const payload = new FieldWriter().kind(KIND.network).u32(1, handler ? FLAG_ALLOWED : 0);
    const own: StreamHandler = {
      data: (_channel, bytes) => this.#take(bytes),
      end: () => {
        throw new Error("END of the network's stream");
      },
      result: (kind, result) => {
        // An agent without a network has nothing to ask for.
        if (kind === ResultKind.failed) return true;
        throw new Error(`an unexpected RESULT ${kind} for the network: ${result.length} bytes`);
      },
      failed: () => {},
    };
    this.#stream = this.#link.open(payload.toBuffer(), 1, own, { datagrams: true });
  }

  /** Takes nothing more, and ends every connection. It can be opened again. */
  close(): void {
    this.#stream?.close();
    this.#stream = undefined;
    this.#handler = undefined;
    for (const each of [...this.#connections]) "destroy" in each ? each.destroy() : each.close();
  }

  /** Lets a connection through; it is given to the program when it stands. `over` is called when nothing of it is left. */
  accept({ syn }: ConnectionRequest, over: () => void): Promise<GuestConnection> {
    return this.#connection(new FieldWriter().kind(KIND.accept).bytes(1, syn).toBuffer(), {}, over);
  }

  refuse({ ends, syn }: ConnectionRequest, why: Refusal): void {
    this.#send(MessageKind.refuseSyn, ends, syn, why);
  }

  /** A datagram for the guest. */
  sendDatagram(ends: Ends, content: Buffer): void {
    this.#send(MessageKind.datagram, ends, content);
  }

  /** Tells the sender of a datagram between `ends` that it did not arrive. */
  refuseDatagram(ends: Ends, why: Refusal): void {
    this.#send(MessageKind.refuseDatagram, ends, Buffer.alloc(0), why);
  }

  /** Connects to a port that a program of the guest listens on. Rejects with {@link GuestConnectionError}. */
  connect(to: End, options: { signal?: AbortSignal | undefined } = {}): Promise<GuestConnection> {
    return this.#connection(encodeConnect(KIND.connect, to), options);
  }

  /** A socket of the guest's that is connected to one of its UDP ports: each write and each chunk is a datagram. */
  connectUdp(to: End, events: { datagram(content: Buffer): void; over(): void }): GuestDatagrams {
    const end = (): void => {
      if (this.#connections.delete(datagrams)) events.over();
    };
    const handler: StreamHandler = {
      data: (_channel, bytes) => {
        stream.consumed(0, bytes.length);
        events.datagram(bytes);
      },
      end: () => {
        throw new Error("END of a UDP stream");
      },
      result: (kind) => {
        if (kind === ResultKind.started) return false;
        end();
        return true;
      },
      failed: end,
    };
    const stream = this.#link.open(encodeConnect(KIND.connectUdp, to), 1, handler, { datagrams: true });
    const datagrams: GuestDatagrams = {
      send: (content) => stream.writeDatagram(content),
      close: () => {
        stream.close();
        end();
      },
    };
    this.#connections.add(datagrams);
    return datagrams;
  }

  #send(kind: number, ends: Ends, content: Buffer, why?: Refusal): void {
    const error = why === undefined ? 0 : (errnoNumber(why) ?? 0);
    this.#stream?.writeDatagram(encodeMessage({ kind, error, ends, content }));
  }

  #take(bytes: Buffer): void {
    this.#stream?.consumed(0, bytes.length);
    const { kind, ends, content } = decodeMessage(bytes);
    if (kind === MessageKind.datagram) this.#handler?.datagram(ends, content);
    else if (content.length > SYN_BYTES_MAX) throw new Error("a SYN that is too long");
    else this.#handler?.connection({ ends, syn: content });
  }

  #connection(
    payload: Buffer,
    options: { signal?: AbortSignal | undefined },
    over = (): void => {},
  ): Promise<GuestConnection> {
    const { signal } = options;
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        const reason: unknown = signal?.reason ?? new VmError(`No connection in ${CONNECT_TIMEOUT_MS} ms`);
        connection.destroy(reason instanceof Error ? reason : new Error(String(reason)));
        reject(reason);
      };
      const timer = setTimeout(abort, CONNECT_TIMEOUT_MS);
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const events: ConnectionEvents = {
        started: () => {
          settle();
          resolve(connection);
        },
        over: (error) => {
          settle();
          this.#connections.delete(connection);
          reject(error ?? new VmError("The connection was closed before it stood"));
          over();
        },
      };
      const connection = new GuestConnection(events);
      // Until somebody listens: who waits for the connection gets the rejection.
      connection.on("error", () => {});
      signal?.addEventListener("abort", abort, { once: true });
      const shape = { receiveWindow: WINDOW_BYTES, growth: this.#growth };
      connection.attach(this.#link.open(payload, 1, connection.handler, shape));
      this.#connections.add(connection);
    });
  }
}

/** Datagrams to and from one UDP port of the guest. */
export interface GuestDatagrams {
  send(content: Buffer): void;
  close(): void;
}

function encodeConnect(kind: number, { address, port }: End): Buffer {
  return new FieldWriter().kind(kind).u16(1, port).bytes(2, addressBytes(address)).toBuffer();
}

function sharedGrowth(): WindowGrowth {
  let taken = 0;
  return {
    most: WINDOW_MOST_BYTES,
    take(bytes) {
      if (taken + bytes > GROWTH_TOTAL_BYTES) return false;
      taken += bytes;
      return true;
    },
    giveBack(bytes) {
      taken -= bytes;
    },
  };
}
