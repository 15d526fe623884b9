import { VmError } from "../errors.js";
import { decodeFailure, ResultKind } from "./failure.js";
import { FieldWriter } from "./fields.js";
import { checkedPath } from "./files.js";
import type { Link } from "./link.js";
import type { GuestStream } from "./stream.js";

const KIND_SOCKET = 66;
/** Of a message's length, which comes first. */
const HEADER = 4;
/** As ssh's own programs have it (AGENT_MAX_LEN). */
const MOST_BYTES = 256 * 1024;

/** Answers a message of a client in the guest. What it throws ends the socket. */
export type AnswerMessage = (message: Buffer) => Promise<Buffer>;

/** Has the agent make a socket at a path of the workload's root; resolves when clients can connect, with what ends it. */
export function openMessageSocket(link: Link, path: string, answer: AnswerMessage): Promise<Disposable> {
  const payload = new FieldWriter().kind(KIND_SOCKET).string(2, checkedPath(path)).toBuffer();
  return new Promise((resolve, reject) => {
    const socket = new MessageSocket(answer, () => resolve(socket));
    socket.stream = link.open(payload, 1, {
      data: (_channel, bytes) => socket.take(bytes),
      end: () => {},
      result: (kind, result) => {
        const why = kind === ResultKind.failed ? decodeFailure(result).text : "it has ended";
        reject(new VmError(`The guest could not make the socket ${path}: ${why}`));
        return true;
      },
      failed: reject,
    });
  });
}

class MessageSocket implements Disposable {
  stream: GuestStream | undefined;
  readonly #answer: AnswerMessage;
  readonly #ready: () => void;
  #bytes = Buffer.alloc(0);
  #isReady = false;
  #isBusy = false;

  constructor(answer: AnswerMessage, ready: () => void) {
    this.#answer = answer;
    this.#ready = ready;
  }

  [Symbol.dispose](): void {
    this.stream?.close();
  }

  /** The guest asks one thing after the other, and first says that it is ready, by an empty message. */
  take(bytes: Buffer): void {
    this.stream?.consumed(0, bytes.length);
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (this.#bytes.length < HEADER) return;
    const length = this.#bytes.readUInt32BE();
    if (length > MOST_BYTES || (this.#isReady && length === 0)) throw new Error(`a message of ${length} bytes`);
    if (this.#bytes.length < HEADER + length) return;
    if (this.#isBusy || this.#bytes.length > HEADER + length)
      throw new Error("a message before the answer to the last one");
    const message = this.#bytes.subarray(HEADER);
    this.#bytes = Buffer.alloc(0);
    if (this.#isReady) void this.#reply(message);
    else this.#begin();
  }

  #begin(): void {
    this.#isReady = true;
    this.#ready();
  }

  async #reply(message: Buffer): Promise<void> {
    this.#isBusy = true;
    try {
      const reply = await this.#answer(message);
      const header = Buffer.allocUnsafe(HEADER);
      header.writeUInt32BE(reply.length);
      this.#isBusy = false;
      this.stream?.write(Buffer.concat([header, reply]), () => undefined);
    } catch {
      this.stream?.close();
    }
  }
}
