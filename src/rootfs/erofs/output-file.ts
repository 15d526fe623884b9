import { type FileHandle, open } from "node:fs/promises";
import { ContentChecksum } from "./content-checksum.js";

/** Writes of this size keep a disk busy; smaller ones cost time, larger ones only memory. */
const BUFFER_SIZE = 1024 * 1024;
/** So many buffers may be on their way to the disk before the producer has to wait. */
const MAX_IN_FLIGHT = 4;

/**
 * A file that is written mostly in sequence, through large buffers, by a producer that must not wait for a promise per
 * piece: `append`, `skip` and `writeAt` return at once, and {@link drain} is called now and then.
 */
export class OutputFile {
  readonly #file: FileHandle;
  readonly #spare: Buffer[] = [];
  readonly #inFlight: Promise<void>[] = [];
  readonly #checksum: ContentChecksum | undefined;
  #failure: { error: unknown } | undefined;
  #buffer: Buffer;
  #filled = 0;
  #base = 0;

  private constructor(file: FileHandle, checksum: boolean) {
    this.#file = file;
    this.#checksum = checksum ? new ContentChecksum() : undefined;
    this.#buffer = Buffer.allocUnsafeSlow(BUFFER_SIZE);
  }

  /** Opens `path` for writing; what was there is gone. */
  static async create(path: string, { checksum = true }: { checksum?: boolean } = {}): Promise<OutputFile> {
    return new OutputFile(await open(path, "w", 0o644), checksum);
  }

  /** Where the next appended byte goes. */
  get position(): number {
    return this.#base + this.#filled;
  }

  append(bytes: Buffer, start = 0, end: number = bytes.length): void {
    for (let at = start; at < end; ) {
      const count = Math.min(end - at, BUFFER_SIZE - this.#filled);
      bytes.copy(this.#buffer, this.#filled, at, at + count);
      at += count;
      this.#advance(count);
    }
  }

  appendZeros(length: number): void {
    for (let left = length; left > 0; ) {
      const count = Math.min(left, BUFFER_SIZE - this.#filled);
      this.#buffer.fill(0, this.#filled, this.#filled + count);
      left -= count;
      this.#advance(count);
    }
  }

  /** Leaves out `length` bytes; those that are never written read as zero and take no space. */
  skip(length: number): void {
    if (length === 0) return;
    this.#flush();
    this.#base += length;
  }

  /** Writes somewhere else; the bytes must not change until `done` is called, or until the next {@link flushed}. */
  writeAt(position: number, bytes: Buffer, done?: () => void): void {
    this.#checksum?.add(position, bytes);
    this.#start(this.#write(bytes, position).then(done));
  }

  /** Writes over what was written before; `change` has the bits that differ. */
  overwrite(position: number, bytes: Buffer, change: Buffer): void {
    this.#checksum?.add(position, change);
    this.#start(this.#write(bytes, position));
  }

  /** The checksum of a file of `size` bytes with what was given so far; `undefined` when none is computed. */
  checksum(size: number): number | undefined {
    return this.#checksum?.of(size);
  }

  /** Waits until the disk has caught up enough for more to be produced. */
  async drain(): Promise<void> {
    while (this.#inFlight.length > MAX_IN_FLIGHT) await this.#inFlight.shift();
    this.#throwFailure();
  }

  /** Hands everything to the operating system. */
  async flushed(): Promise<void> {
    this.#flush();
    while (this.#inFlight.length > 0) await this.#inFlight.shift();
    this.#throwFailure();
  }

  /** Flushes, cuts or extends the file to `size` and closes it. */
  async finish(size: number): Promise<void> {
    await this.flushed();
    await this.#file.truncate(size);
    await this.#file.close();
  }

  /** Closes the file without completing it. */
  async abandon(): Promise<void> {
    await Promise.all(this.#inFlight);
    await this.#file.close().catch(() => undefined);
  }

  #advance(count: number): void {
    this.#filled += count;
    if (this.#filled === BUFFER_SIZE) this.#flush();
  }

  #flush(): void {
    if (this.#filled === 0) return;
    const buffer = this.#buffer;
    this.#checksum?.add(this.#base, buffer.subarray(0, this.#filled));
    this.#start(
      this.#write(buffer.subarray(0, this.#filled), this.#base).finally(() => {
        this.#spare.push(buffer);
      }),
    );
    this.#base += this.#filled;
    this.#filled = 0;
    this.#buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_SIZE);
  }

  #start(write: Promise<void>): void {
    this.#inFlight.push(
      write.catch((error: unknown) => {
        this.#failure ??= { error };
      }),
    );
  }

  async #write(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
