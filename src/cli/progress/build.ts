import { styleText } from "node:util";
import type { BuildEvent, OnBuild, OnProgress } from "../../index.js";
import { openReporter, type ProgressStyle } from "./index.js";

/** How a build is shown; `rawjson` writes each event as a line of JSON. */
export type BuildProgressStyle = ProgressStyle | "rawjson";

/** What a build tells its events to. */
interface BuildReports {
  onBuild: OnBuild;
  onProgress: OnProgress;
}

/** Does a build and shows its steps and what their commands write on standard error. */
export async function withBuildProgress<T>(
  style: BuildProgressStyle,
  task: (reports: BuildReports) => Promise<T>,
  stream: NodeJS.WriteStream = process.stderr,
): Promise<T> {
  if (style === "quiet") return task({ onBuild: () => undefined, onProgress: () => undefined });
  if (style === "rawjson") {
    const write = (event: object) => void stream.write(`${JSON.stringify(event)}\n`);
    return task({ onBuild: (event) => write(jsonEvent(event)), onProgress: write });
  }
  // Bars would be torn by what commands write.
  const reporter = openReporter({ progress: "plain" }, stream);
  const lines = new BuildLines((line) => stream.write(`${line}\n`), style === "tty" || stream.isTTY === true);
  try {
    return await task({ onBuild: (event) => lines.take(event), onProgress: reporter.report });
  } finally {
    reporter.close();
  }
}

/** A build as lines, each of which begins with its step's number. */
export class BuildLines {
  readonly #write: (line: string) => void;
  readonly #colour: boolean;
  /** What has come of a line of output, by step. */
  readonly #begun = new Map<number, string>();

  constructor(write: (line: string) => void, colour: boolean) {
    this.#write = write;
    this.#colour = colour;
  }

  take(event: BuildEvent): void {
    if (event.kind === "warning") {
      this.#write(this.#paint("yellow", `warning: ${event.file}:${event.line}: ${event.message} (${event.rule})`));
    } else if (event.kind === "output") {
      this.#output(event.number, Buffer.from(event.bytes).toString());
    } else if (event.state === "started") {
      const title = event.title.split("\n", 1)[0] ?? "";
      this.#write(
        this.#paint("bold", `#${event.number} [${event.stage} ${event.number}/${event.total}] ${clean(title)}`),
      );
    } else {
      this.#flush(event.number);
      const seconds = ((event.durationMs ?? 0) / 1000).toFixed(1);
      const state =
        event.state === "cached" ? "cached" : `${event.state === "failed" ? "failed after" : "done in"} ${seconds} s`;
      this.#write(this.#paint(event.state === "failed" ? "red" : "dim", `#${event.number} ${state}`));
    }
  }

  #output(number: number, text: string): void {
    const lines = ((this.#begun.get(number) ?? "") + text).split(/\r?\n/);
    this.#begun.set(number, lines.pop() ?? "");
    for (const line of lines) this.#write(`#${number} ${clean(line)}`);
  }

  #flush(number: number): void {
    const rest = this.#begun.get(number) ?? "";
    this.#begun.delete(number);
    if (rest !== "") this.#write(`#${number} ${clean(rest)}`);
  }

  #paint(style: "yellow" | "bold" | "dim" | "red", text: string): string {
    return this.#colour ? styleText(style, text, { validateStream: false }) : text;
  }
}

/** Guests are not trusted with the terminal. What a carriage return would draw over is left out. */
function clean(line: string): string {
  const shown = line.slice(line.lastIndexOf("\r") + 1);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  return shown.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/[^\P{Cc}\t]/gu, "");
}

function jsonEvent(event: BuildEvent): object {
  return event.kind === "output" ? { ...event, bytes: undefined, text: Buffer.from(event.bytes).toString() } : event;
}
