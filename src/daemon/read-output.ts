import { setTimeout as sleep } from "node:timers/promises";
import { logPaths } from "./log-file.js";
import { type OutputLine, parseOutputLine } from "./output-log.js";
import { inOrder, TailReader } from "./tail-reader.js";

const POLL_MS = 100;

/** Which lines of a log are wanted. */
export interface LogOptions {
  /** Goes on with new lines until the VM has ended, or `signal` aborts. */
  follow?: boolean | undefined;
  /** The requests that its edge dealt with, instead of what its workload wrote. */
  router?: boolean | undefined;
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
  const readers = logPaths(path).map((each) => new TailReader(each, parseOutputLine));
  const current = readers.at(-1);
  try {
    for await (const line of lastOf(inOrder(readers), options.tail)) if (line.time >= since) yield line;
    if (!options.follow || !current) return;
    for await (const line of newLines(current, isOver, options.signal)) if (line.time >= since) yield line;
  } finally {
    await Promise.all(readers.map((reader) => reader.close()));
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
  current: TailReader<OutputLine>,
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
