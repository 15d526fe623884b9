import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import * as v from "valibot";
import { LogFile } from "./log-file.js";

/** A longer line is kept in pieces. */
const MAX_LINE = 16_384;
const LAST_CHARACTERS = 2_000;

const Line = v.object({
  /** When it was written, as ISO 8601. */
  time: v.string(),
  stream: v.picklist(["stdout", "stderr"]),
  /** With its newline, unless it is a piece of a longer line, or the last one. */
  text: v.string(),
});

/** One line of a workload's output. */
export type OutputLine = v.InferOutput<typeof Line>;

/** Keeps what a workload writes: as JSON lines at `path`, and as it is in `copy` where that is wanted. */
export class OutputLog {
  readonly #log: LogFile;
  readonly #copy: LogFile | undefined;
  #last = "";

  constructor(path: string, copy?: string) {
    this.#log = new LogFile(path);
    this.#copy = copy === undefined ? undefined : new LogFile(copy);
  }

  /** Bytes that a full disk did not take. */
  get lostBytes(): number {
    return this.#log.dropped + (this.#copy?.dropped ?? 0);
  }

  /** The end of what was written, without what could disturb a terminal. */
  get lastWords(): string {
    return this.#last.replace(/[^\P{Cc}\t\n]/gu, "").trimEnd();
  }

  /** Keeps a stream to its end. */
  async keep(stream: Readable, name: OutputLine["stream"]): Promise<void> {
    for await (const text of linesOf(stream)) {
      this.#last = (this.#last + text).slice(-LAST_CHARACTERS);
      const line: OutputLine = { time: new Date().toISOString(), stream: name, text };
      await Promise.all([this.#log.append(`${JSON.stringify(line)}\n`), this.#copy?.append(text)]);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#log.close(), this.#copy?.close()]);
  }
}

async function* linesOf(stream: Readable): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  let pending = "";
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    pending += decoder.write(chunk);
    for (;;) {
      const end = pending.indexOf("\n") + 1 || (pending.length > MAX_LINE ? MAX_LINE : 0);
      if (end === 0) break;
      yield pending.slice(0, end);
      pending = pending.slice(end);
    }
  }
  pending += decoder.end();
  if (pending) yield pending;
}

/** Reads a line of an {@link OutputLog}; `undefined` for one that a full disk cut off. */
export function parseOutputLine(text: string): OutputLine | undefined {
  try {
    const parsed = v.safeParse(Line, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
