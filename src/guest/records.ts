import { SupermachineError, VmError } from "../errors.js";

const LENGTH_BYTES = 4;
/** The longest record that an agent of ours sends. */
export const RECORD_MAX = 16_384;

/**
 * Cuts a channel's bytes into records, each with its length (u32) before it. A record that is longer than `most`, or that `take` cannot
 * read, is the work of a hostile guest, and a VmError.
 */
export class RecordDecoder {
  readonly #most: number;
  readonly #take: (record: Buffer) => void;
  #rest = Buffer.alloc(0);

  constructor(most: number, take: (record: Buffer) => void) {
    this.#most = most;
    this.#take = take;
  }

  push(bytes: Buffer): void {
    let left = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (left.length >= LENGTH_BYTES) {
      const length = left.readUInt32LE();
      if (length > this.#most) throw new VmError(`The guest broke the agent's protocol: a record of ${length} bytes`);
      if (left.length < LENGTH_BYTES + length) break;
      this.#read(left.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
      left = left.subarray(LENGTH_BYTES + length);
    }
    // A copy, so that a whole frame is not held for its last bytes.
    this.#rest = Buffer.from(left);
  }

  #read(record: Buffer): void {
    try {
      this.#take(record);
    } catch (cause) {
      if (cause instanceof SupermachineError) throw cause;
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new VmError(`The guest broke the agent's protocol: ${text}`, { cause });
    }
  }
}
