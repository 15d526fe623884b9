import { type Profiler, Session } from "node:inspector";

/**
 * Which blocks of some sources have run, by V8's own counters. It must be started before the sources are loaded: functions that were
 * compiled earlier are only counted as a whole.
 */
export class Coverage implements Disposable {
  readonly #session = new Session();
  readonly #sources: RegExp;

  constructor(sources: RegExp) {
    this.#sources = sources;
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** The blocks that have run since the last call. */
  take(): Set<string> {
    const blocks = new Set<string>();
    // In the same process it answers before it returns.
    this.#session.post("Profiler.takePreciseCoverage", (error, answer?: Profiler.TakePreciseCoverageReturnType) => {
      if (error) throw error;
      for (const { url, functions } of answer?.result ?? [])
        if (this.#sources.test(url)) addBlocks(blocks, url, functions);
    });
    return blocks;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}

function addBlocks(blocks: Set<string>, url: string, functions: readonly Profiler.FunctionCoverage[]): void {
  for (const { ranges } of functions) {
    for (const { startOffset, endOffset, count } of ranges)
      if (count > 0) blocks.add(`${url} ${startOffset} ${endOffset}`);
  }
}
