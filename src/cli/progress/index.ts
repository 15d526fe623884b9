import { Option } from "commander";
import { logLevel, type OnProgress } from "../../index.js";
import { PlainReporter } from "./plain.js";
import { lookOf, TerminalReporter } from "./terminal.js";

/** How progress is shown: bars that are drawn again, lines, or not at all; `auto` decides by what standard error is. */
export type ProgressStyle = "auto" | "plain" | "tty" | "quiet";

/** What {@link progressOption} and {@link quietOption} give. */
export interface ProgressFlags {
  progress?: ProgressStyle | undefined;
  quiet?: boolean | undefined;
}

/** Shows the events of one command's work. */
export interface Reporter {
  report: OnProgress;
  /** Nothing is drawn from now on; what comes next on the terminal is below. */
  close(): void;
}

/** `--progress`, of every command with long work. */
export function progressOption(): Option {
  const styles: ProgressStyle[] = ["auto", "plain", "tty", "quiet"];
  return new Option("--progress <style>", "how to show progress, on stderr").choices(styles).default("auto");
}

/** `-q`, of every command with long work: the same as `--progress quiet`. */
export function quietOption(): Option {
  return new Option("-q, --quiet", "show no progress");
}

/** Does long work and shows its progress on standard error until it has ended, well or not. */
export async function withProgress<T>(flags: ProgressFlags, task: (onProgress: OnProgress) => Promise<T>): Promise<T> {
  const reporter = openReporter(flags);
  try {
    return await task(reporter.report);
  } finally {
    reporter.close();
  }
}

/** The reporter that flags and stream ask for. */
export function openReporter(
  flags: ProgressFlags,
  stream: NodeJS.WriteStream = process.stderr,
  env: NodeJS.ProcessEnv = process.env,
): Reporter {
  const style = flags.quiet ? "quiet" : (flags.progress ?? "auto");
  if (style === "quiet") return { report: () => undefined, close: () => undefined };
  if (style === "tty" || (style === "auto" && mayDraw(stream, env)))
    return new TerminalReporter(stream, lookOf(stream, env));
  return new PlainReporter(stream);
}

/** Whether lines can be drawn again in place. A log between them would tear them. */
export function mayDraw(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY && env.TERM !== "dumb" && logLevel(env) === undefined;
}
