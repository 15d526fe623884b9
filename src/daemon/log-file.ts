import { type FileHandle, open, rename, rm } from "node:fs/promises";

const FILE_BYTES = 10 * 2 ** 20;
const OLD_FILES = 2;

/** Paths of a log, from the oldest lines to the newest; those that do not exist yet included. */
export function logPaths(path: string, oldFiles = OLD_FILES): string[] {
  return [...Array.from({ length: oldFiles }, (_, index) => `${path}.${oldFiles - index}`), path];
}

/**
 * A text file that keeps about the last 30 MiB: at 10 MiB it becomes `PATH.1`, which becomes `PATH.2`. What a full disk does
 * not take is dropped, so that the writer never stops for it; writing goes on once there is room.
 */
export class LogFile {
  readonly #path: string;
  #file: FileHandle | undefined;
  #bytes = 0;
  #isFile = false;
  #last: Promise<void> = Promise.resolve();
  /** Bytes that were dropped. */
  dropped = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when the text is in the file, or was dropped. */
  append(text: string): Promise<void> {
    const data = Buffer.from(text);
    this.#last = this.#last.then(() =>
      this.#append(data).catch(() => {
        this.dropped += data.length;
      }),
    );
    return this.#last;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #append(data: Buffer): Promise<void> {
    if (this.#bytes > FILE_BYTES) await this.#rotate();
    if (!this.#file) {
      this.#file = await open(this.#path, "a", 0o600);
      const found = await this.#file.stat();
      this.#isFile = found.isFile();
      this.#bytes = found.size;
    }
    await this.#file.appendFile(data);
    // A device or a pipe has no end, and must not be renamed.
    if (this.#isFile) this.#bytes += data.length;
  }

  async #rotate(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    this.#bytes = 0;
    const [oldest = this.#path, ...newer] = logPaths(this.#path);
    await rm(oldest, { force: true });
    let to = oldest;
    for (const from of newer) {
      await rename(from, to).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
      });
      to = from;
    }
  }
}
