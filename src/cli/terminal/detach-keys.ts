import { Transform, type TransformCallback } from "node:stream";
import { InvalidArgumentError } from "commander";

export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

const CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_";

/** Parses docker's notation of a key sequence: single characters, `ctrl-` with one of `a`-`z @ [ \ ] ^ _`, `DEL`; nothing for none. */
export function parseDetachKeys(text: string): Buffer {
  if (text === "") return Buffer.alloc(0);
  return Buffer.concat(text.split(",").map(keyBytes));
}

function keyBytes(key: string): Buffer {
  if (key === "DEL") return Buffer.from([127]);
  const control = /^ctrl-(.)$/i.exec(key)?.[1]?.toLowerCase();
  const code = control === undefined ? -1 : CONTROL.indexOf(control);
  if (code >= 0) return Buffer.from([code]);
  if ([...key].length === 1) return Buffer.from(key);
  throw new InvalidArgumentError(`${JSON.stringify(key)} is no key. Keys are like a or ctrl-a, with commas between.`);
}

/**
 * Passes what is typed on until `keys` come in a row; then it tells `onDetach`, and passes nothing on any more. A part of
 * the sequence is held back until the next key shows whether it goes on.
 */
export class DetachKeys extends Transform {
  readonly #keys: Buffer;
  readonly #onDetach: () => void;
  #matched = 0;
  #detached = false;

  constructor(keys: Buffer, onDetach: () => void) {
    super();
    this.#keys = keys;
    this.#onDetach = onDetach;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    done(null, this.#keys.length === 0 ? chunk : this.#look(chunk));
  }

  #look(chunk: Buffer): Buffer {
    const passed: number[] = [];
    for (const byte of chunk) {
      if (this.#detached) break;
      this.#take(byte, passed);
      if (this.#matched < this.#keys.length) continue;
      this.#detached = true;
      this.#onDetach();
    }
    return Buffer.from(passed);
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#detached ? undefined : this.#keys.subarray(0, this.#matched));
  }

  #take(byte: number, passed: number[]): void {
    // What was held back may contain the beginning of another match, as the second p of "p,p,q" in "pppq".
    while (this.#matched > 0 && byte !== this.#keys[this.#matched]) {
      const shorter = this.#longestBorder(this.#matched);
      passed.push(...this.#keys.subarray(0, this.#matched - shorter));
      this.#matched = shorter;
    }
    if (byte === this.#keys[this.#matched]) this.#matched++;
    else passed.push(byte);
  }

  /** The longest proper beginning of the first `length` keys that is also their end. */
  #longestBorder(length: number): number {
    for (let border = length - 1; border > 0; border--) {
      if (this.#keys.subarray(0, border).equals(this.#keys.subarray(length - border, length))) return border;
    }
    return 0;
  }
}
