import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { logPaths } from "./log-file.js";
import { type OutputLine, parseOutputLine } from "./output-log.js";

const POLL_MS = 100;
const CHUNK = 65_536;

/** Which lines of a log are wanted. */
export interface LogOptions {
  /** Goes on with new lines until the VM has ended, or `signal` aborts. */
  follow?: boolean | undefined;
  /** Only the last so many lines. */
  tail?: number | undefined;
  /** Only lines from then on. */
  since?: Date | undefined;
  signal?: AbortSignal | undefined;
}

/** The lines of a workload's output that are kept in the log at `path`, oldest first. */
export async function* readOutput(
  path: string,
  options: LogOptions,
  isOver: () => Promise<boolean>,
): AsyncGenerator<OutputLine> {
  const since = options.since?.toISOString() ?? "";
  const current = new TailReader(path);
  try {
    for await (const line of lastOf(pastLines(path, current), options.tail)) if (line.time >= since) yield line;
    if (!options.follow) return;
    for await (const line of newLines(current, isOver, options.signal)) if (line.time >= since) yield line;
  } finally {
    await current.close();
  }
}

/** The last `count` of the lines; all when it is undefined. */
async function* lastOf(lines: AsyncIterable<OutputLine>, count: number | undefined): AsyncGenerator<OutputLine> {
  if (count === undefined) return yield* lines;
  const kept: OutputLine[] = [];
  for await (const line of lines) if (kept.push(line) > count) kept.shift();
  yield* kept;
}

async function* newLines(
  current: TailReader,
  isOver: () => Promise<boolean>,
  signal: AbortSignal | undefined,
): AsyncGenerator<OutputLine> {
  while (!signal?.aborted) {
    const over = await isOver();
    yield* current.more();
    if (over) return;
    await sleep(POLL_MS, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
}

async function* pastLines(path: string, current: TailReader): AsyncGenerator<OutputLine> {
  for (const old of logPaths(path).slice(0, -1)) {
    const reader = new TailReader(old);
    yield* reader.more();
    await reader.close();
  }
  yield* current.more();
}

/** Reads what was added to a file since the last time; goes on in the new file when it was rotated away. */
class TailReader {
  readonly #path: string;
  #file: FileHandle | undefined;
  #position = 0;
  #pending = "";

  constructor(path: string) {
    this.#path = path;
  }

  async *more(): AsyncGenerator<OutputLine> {
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

  async *#rest(file: FileHandle): AsyncGenerator<OutputLine> {
    const buffer = Buffer.alloc(CHUNK);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK, this.#position);
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      // JSON escapes everything but text, and lines end in ASCII: only whole lines are decoded.
      const lines = (this.#pending + buffer.toString("latin1", 0, bytesRead)).split("\n");
      this.#pending = lines.pop() ?? "";
      for (const line of lines) {
        const parsed = parseOutputLine(Buffer.from(line, "latin1").toString("utf8"));
        if (parsed) yield parsed;
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
