/**
 * Frames smaller than this are gathered in blocks of this size: a guest that sends single bytes would otherwise cost a hundred
 * times as much memory as its credit.
 */
const BLOCK_BYTES = 4096;

/** What came of a stream and has not been read yet. */
export class WaitingBytes {
  readonly #arrived: () => void;
  readonly #waiting: Buffer[] = [];
  #block = Buffer.alloc(0);
  #blockUsed = 0;
  /** Where in the block the last of `waiting` begins, if it is in the block. */
  #blockFrom: number | undefined;
  #telling = false;

  /** `arrived` is called when there is something to shift; for small pieces after the current turn. */
  constructor(arrived: () => void) {
    this.#arrived = arrived;
  }

  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  push(bytes: Buffer): void {
    if (bytes.length >= BLOCK_BYTES) {
      this.#blockFrom = undefined;
      this.#waiting.push(bytes);
      this.#arrived();
      return;
    }
    this.#gather(bytes);
    // Not at once: more such frames may be in what the socket has just given.
    if (this.#telling) return;
    this.#telling = true;
    process.nextTick(() => {
      this.#telling = false;
      this.#arrived();
    });
  }

  shift(): Buffer | undefined {
    const bytes = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#blockFrom = undefined;
    return bytes;
  }

  /** Forgets everything; gives how many bytes it was. */
  clear(): number {
    return this.#waiting.splice(0).reduce((sum, bytes) => sum + bytes.length, 0);
  }

  #gather(bytes: Buffer): void {
    if (this.#blockUsed + bytes.length > this.#block.length) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#blockUsed = 0;
      this.#blockFrom = undefined;
    }
    bytes.copy(this.#block, this.#blockUsed);
    if (this.#blockFrom === undefined) this.#blockFrom = this.#blockUsed;
    else this.#waiting.pop();
    this.#blockUsed += bytes.length;
    this.#waiting.push(this.#block.subarray(this.#blockFrom, this.#blockUsed));
  }
}
