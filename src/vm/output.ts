import type { Readable } from "node:stream";

/** Collects a stream up to a limit. What comes after it is read and thrown away, so that the writer never stalls. */
export class Output {
  readonly #chunks: Buffer[] = [];
  readonly #limit: number;
  #bytes = 0;
  /** Whether anything was thrown away. */
  truncated = false;

  constructor(stream: Readable, limit: number) {
    this.#limit = limit;
    stream.on("data", (chunk: Buffer) => this.#add(chunk));
    // The process's own wait() tells what went wrong.
    stream.on("error", () => undefined);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.bytes.toString("utf8");
  }

  #add(chunk: Buffer): void {
    const room = this.#limit - this.#bytes;
    if (chunk.length > room) this.truncated = true;
    if (room <= 0) return;
    this.#chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.#bytes += Math.min(chunk.length, room);
  }
}
