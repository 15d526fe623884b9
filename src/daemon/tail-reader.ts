import { type FileHandle, open } from "node:fs/promises";

const CHUNK = 65_536;

/** Reads the lines that were added to a file since the last time; goes on in the new file when it was rotated away. */
export class TailReader<T> {
  readonly #path: string;
  readonly #parse: (line: string) => T | undefined;
  #file: FileHandle | undefined;
  #position = 0;
  #pending = "";

  /** @param parse reads a line; one that it gives `undefined` for is left out */
  constructor(path: string, parse: (line: string) => T | undefined) {
    this.#path = path;
    this.#parse = parse;
  }

  async *more(): AsyncGenerator<T> {
    for (;;) {
      this.#file ??= await open(this.#path, "r").catch(() => undefined);
      if (!this.#file) return;
      yield* this.#rest(this.#file);
      if (!(await this.#wasRotated(this.#file))) return;
      yield* this.#rest(this.#file);
      await this.close();
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    this.#position = 0;
    this.#pending = "";
  }

  async *#rest(file: FileHandle): AsyncGenerator<T> {
    const buffer = Buffer.alloc(CHUNK);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK, this.#position);
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      // JSON escapes everything but text, and lines end in ASCII: only whole lines are decoded.
      const lines = (this.#pending + buffer.toString("latin1", 0, bytesRead)).split("\n");
      this.#pending = lines.pop() ?? "";
      for (const line of lines) {
        const parsed = this.#parse(Buffer.from(line, "latin1").toString("utf8"));
        if (parsed !== undefined) yield parsed;
      }
    }
  }

  async #wasRotated(file: FileHandle): Promise<boolean> {
    const now = await open(this.#path, "r").catch(() => undefined);
    if (!now) return false;
    const [ours, theirs] = await Promise.all([file.stat(), now.stat()]);
    await now.close();
    return ours.ino !== theirs.ino;
  }
}

/** What all readers have to give, one after the other. */
export async function* inOrder<T>(readers: readonly TailReader<T>[]): AsyncGenerator<T> {
  for (const reader of readers) yield* reader.more();
}
