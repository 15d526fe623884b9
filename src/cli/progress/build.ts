import { StringDecoder } from "node:string_decoder";
import type { BuildEvent, OnBuild, OnProgress, OutputEvent } from "../../index.js";
import { BuildLines } from "./build-lines.js";
import { BuildView } from "./build-view.js";
import { mayDraw, type ProgressStyle } from "./index.js";
import { LiveScreen } from "./live-screen.js";
import { PlainReporter } from "./plain.js";
import { lookOf, ProgressView } from "./terminal.js";

/** How a build is shown; `rawjson` writes each event as a line of JSON. */
export type BuildProgressStyle = ProgressStyle | "rawjson";

/** What a build tells its events to. */
interface BuildReports {
  onBuild: OnBuild;
  onProgress: OnProgress;
}

interface BuildReporter extends BuildReports {
  /** Nothing is shown from now on. */
  close(succeeded: boolean): void;
}

/**
 * Does a build and shows its steps and what their commands write on standard error, until the build ends or asks for the end of the showing.
 */
export async function withBuildProgress<T>(
  style: BuildProgressStyle,
  task: (reports: BuildReports & { endShowing(): void }) => Promise<T>,
  stream: NodeJS.WriteStream = process.stderr,
): Promise<T> {
  const { close, ...reports } = openBuildReporter(style, stream);
  let succeeded = false;
  try {
    const value = await task({ ...reports, endShowing: () => close(false) });
    succeeded = true;
    return value;
  } finally {
    close(succeeded);
  }
}

/** The reporter that a style and a stream ask for. */
export function openBuildReporter(
  style: BuildProgressStyle,
  stream: NodeJS.WriteStream,
  env: NodeJS.ProcessEnv = process.env,
): BuildReporter {
  if (style === "quiet") return { onBuild: () => undefined, onProgress: () => undefined, close: () => undefined };
  if (style === "rawjson") return jsonReporter(stream);
  return style === "tty" || (style === "auto" && mayDraw(stream, env))
    ? terminalReporter(stream, env)
    : linesReporter(stream, env);
}

function terminalReporter(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): BuildReporter {
  const look = lookOf(stream, env);
  const [progress, build] = [new ProgressView(look), new BuildView(look)];
  const screen = new LiveScreen(stream, look, [progress, build]);
  return {
    onBuild(event) {
      build.take(event);
      screen.begin();
    },
    onProgress(event) {
      progress.take(event);
      screen.begin();
    },
    close(succeeded) {
      build.close(succeeded);
      screen.close();
    },
  };
}

function linesReporter(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): BuildReporter {
  const reporter = new PlainReporter(stream);
  const lines = new BuildLines((line) => stream.write(`${line}\n`), lookOf(stream, env).colour);
  return {
    onBuild: (event) => lines.take(event),
    onProgress: reporter.report,
    close: () => reporter.close(),
  };
}

/** As docker's, on standard error. Output is text; a character that comes in two pieces is whole in the second. */
function jsonReporter(stream: NodeJS.WriteStream): BuildReporter {
  const decoders = new Map<string, StringDecoder>();
  const textOf = ({ number, stream: name, bytes }: OutputEvent) => {
    const key = `${number} ${name}`;
    const decoder = decoders.get(key) ?? new StringDecoder("utf8");
    decoders.set(key, decoder);
    return decoder.write(Buffer.from(bytes));
  };
  const write = (event: object) => {
    const line = JSON.stringify({ time: new Date().toISOString(), ...event });
    // JSON escapes what a terminal obeys, but for these.
    stream.write(`${line.replace(/[\x7f-\x9f]/g, escaped)}\n`);
  };
  const outputEvent = (event: BuildEvent) =>
    event.kind === "output" ? { ...event, bytes: undefined, text: textOf(event) } : event;
  return { onBuild: (event) => write(outputEvent(event)), onProgress: write, close: () => undefined };
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
