import { NetworkError } from "../../errors.js";

// The format: gitprotocol-common(5), "pkt-line".
const LENGTH_DIGITS = 4;
const MOST = 65_520;
const FLUSH = Buffer.from("0000");

/** The lines as packets, in the form that git's protocol has them; `undefined` is a flush. */
export function encodePackets(lines: readonly (string | undefined)[]): Buffer {
  const packets = lines.map((line) => {
    if (line === undefined) return FLUSH;
    const bytes = Buffer.from(line);
    return Buffer.concat([Buffer.from((bytes.length + LENGTH_DIGITS).toString(16).padStart(4, "0")), bytes]);
  });
  return Buffer.concat(packets);
}

/** Reads packets of a stream, and what follows them as it is. */
export class PacketReader {
  readonly #source: AsyncIterator<Buffer>;
  #waiting: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /**
   * The next packet's content; "flush" for one that only ends a section.
   * @throws NetworkError when the stream ends, holds no packet, or an error of the server's
   */
  async next(): Promise<Buffer | "flush"> {
    const head = (await this.#take(LENGTH_DIGITS)).toString("latin1");
    const length = /^[0-9a-f]{4}$/i.test(head) ? Number.parseInt(head, 16) : Number.NaN;
    if (length === 0) return "flush";
    if (!(length >= LENGTH_DIGITS && length <= MOST))
      throw new NetworkError("the server does not speak git's protocol");
    const content = await this.#take(length - LENGTH_DIGITS);
    if (content.toString("latin1", 0, 4) !== "ERR ") return content;
    throw new NetworkError(`the git server says: ${printable(content.subarray(4))}`);
  }

  /** All that is left of the stream. */
  async *rest(): AsyncGenerator<Buffer> {
    yield this.#waiting;
    for (let next = await this.#source.next(); !next.done; next = await this.#source.next()) yield next.value;
  }

  async #take(length: number): Promise<Buffer> {
    const pieces = [this.#waiting];
    for (let have = this.#waiting.length; have < length; ) {
      const next = await this.#source.next();
      if (next.done) throw new NetworkError("the git server ended the connection in the middle");
      pieces.push(next.value);
      have += next.value.length;
    }
    const all = pieces.length === 1 ? this.#waiting : Buffer.concat(pieces);
    this.#waiting = all.subarray(length);
    return all.subarray(0, length);
  }
}

/** What a server says may have control characters, and no end. */
export function printable(bytes: Buffer): string {
  return bytes
    .toString("utf8", 0, 500)
    .trim()
    .replace(/\p{C}+/gu, " ");
}
