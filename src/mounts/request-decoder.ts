import { DATA_MAX, decodeRequest, REQUEST_HEADER, type Request } from "./wire.js";

/** A WRITE of the largest size with its header is shorter. */
const MESSAGE_MAX = DATA_MAX + 4096;

/** Cuts the bytes of a guest into requests. Each says its own length. */
export class RequestDecoder {
  #part: Buffer = Buffer.alloc(0);
  #used = 0;

  /** Calls `take` for each request that is complete now; `bytes` is what it came in. @throws Error for what is no request */
  push(chunk: Buffer, take: (request: Request, bytes: number) => void): void {
    let rest = chunk;
    while (rest.length > 0) {
      rest =
        this.#used > 0 || rest.length < 4 || rest.length < lengthOf(rest)
          ? this.#gather(rest, take)
          : whole(rest, take);
    }
  }

  #gather(rest: Buffer, take: (request: Request, bytes: number) => void): Buffer {
    if (this.#used === 0) this.#part = Buffer.allocUnsafe(REQUEST_HEADER);
    const wanted = this.#used < 4 ? 4 : lengthOf(this.#part);
    if (wanted > this.#part.length) this.#grow(wanted);
    const count = Math.min(wanted - this.#used, rest.length);
    rest.copy(this.#part, this.#used, 0, count);
    this.#used += count;
    if (this.#used > 4 && this.#used === wanted) {
      this.#used = 0;
      take(decodeRequest(this.#part.subarray(0, wanted)), wanted);
    }
    return rest.subarray(count);
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafe(length);
    this.#part.copy(larger, 0, 0, this.#used);
    this.#part = larger;
  }
}

function whole(rest: Buffer, take: (request: Request, bytes: number) => void): Buffer {
  const length = lengthOf(rest);
  take(decodeRequest(rest.subarray(0, length)), length);
  return rest.subarray(length);
}

function lengthOf(bytes: Buffer): number {
  const length = bytes.readUInt32LE(0);
  if (length < REQUEST_HEADER || length > MESSAGE_MAX) throw new Error(`a FUSE request of ${length} bytes`);
  return length;
}
