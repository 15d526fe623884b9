import type { FileHandle } from "node:fs/promises";
import { BLOCK_BYTES } from "./tar-header.js";

const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** Eleven octal digits. Larger sizes have GNU's binary form, which every tar of today reads. */
const MOST_OCTAL = 0o77777777777;
/** An archive ends with two blocks of zeros. */
const END_BYTES = 2 * BLOCK_BYTES;

/**
 * Writes a tar file of regular files (POSIX ustar), one after the other. What an archive of images needs is a page of code; the
 * libraries that write tar files bring a dozen packages.
 */
export class TarWriter {
  readonly #file: FileHandle;
  #position = 0;

  /** @param file an empty file, which stays open */
  constructor(file: FileHandle) {
    this.#file = file;
  }

  /**
   * Adds a file whose size and name need not be known before its content has passed.
   * @param nameOf gives its name, or `undefined` when it shall not be in the archive after all
   */
  async add(chunks: AsyncIterable<Uint8Array>, nameOf: () => string | undefined): Promise<void> {
    const start = this.#position;
    let end = start + BLOCK_BYTES;
    for await (const chunk of chunks) {
      await this.#write(chunk, end);
      end += chunk.length;
    }
    const name = nameOf();
    if (name === undefined) {
      await this.#file.truncate(start);
      return;
    }
    await this.#write(header(name, end - start - BLOCK_BYTES), start);
    const rest = (end - start) % BLOCK_BYTES;
    this.#position = rest === 0 ? end : end + BLOCK_BYTES - rest;
    await this.#file.truncate(this.#position);
  }

  /** Adds a file that is in memory. */
  async addBytes(name: string, bytes: Uint8Array): Promise<void> {
    const whole = async function* () {
      yield bytes;
    };
    await this.add(whole(), () => name);
  }

  /** Ends the archive. */
  async end(): Promise<void> {
    await this.#write(Buffer.alloc(END_BYTES), this.#position);
  }

  /** A full disk cuts a single write short and only fails the next one. */
  async #write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }
}

/** A header block. Owner, time and mode say nothing about an image, so they are the same for every file. */
function header(path: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const { name, prefix } = splitName(path);
  block.write(name, 0);
  block.write("0000644\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  writeSize(block, size);
  block.write("00000000000\0", 136);
  block.write("        ", 148);
  block.write("0", 156);
  block.write("ustar\x0000", 257);
  block.write(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function writeSize(block: Buffer, size: number): void {
  if (size <= MOST_OCTAL) {
    block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
    return;
  }
  block[124] = 0x80;
  block.writeBigUInt64BE(BigInt(size), 128);
}

/** A long name continues in the prefix, up to one of its slashes. */
function splitName(path: string): { name: string; prefix: string } {
  if (Buffer.byteLength(path) <= NAME_BYTES) return { name: path, prefix: "" };
  const slash = path.indexOf("/", path.length - NAME_BYTES - 1);
  const [prefix, name] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
  if (slash > 0 && prefix.length <= PREFIX_BYTES && name.length > 0) return { name, prefix };
  throw new RangeError(`${path} is too long a name for a tar file`);
}
