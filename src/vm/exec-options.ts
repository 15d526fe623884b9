import { posix } from "node:path";
import { UsageError } from "../errors.js";
import type { ExecRequest } from "../guest/index.js";
import type { ExitStatus } from "./exit-status.js";
import type { RunConfiguration } from "./run-configuration.js";

const DEFAULT_SIZE = { rows: 24, cols: 80 };

/** How a command is run. */
export interface ExecOptions {
  /** Variables on top of the image's own. */
  env?: Record<string, string>;
  /** Working directory; by default the image's. */
  cwd?: string;
  /** `name`, `uid`, `name:group` or `uid:gid`, looked up in the image's own files; by default the image's user. */
  user?: string;
  /** `pipe` connects `VmProcess.stdin`; by default the command reads an empty input, or an idle terminal. */
  stdin?: "pipe" | "ignore";
  /** Runs it on a terminal of its own: job control, Ctrl-C as byte 3, and its standard error is part of its standard output. */
  tty?: boolean;
  /** Size of the terminal in characters; 24 by 80 by default. */
  rows?: number;
  cols?: number;
  /** The kind of terminal, which becomes the variable TERM; by default what `env` or the image says, else `xterm`. */
  term?: string;
  /** Kills the command. */
  signal?: AbortSignal;
}

/** How `vm.run` runs a command. */
export interface RunOptions extends Omit<ExecOptions, "stdin"> {
  /** What the command reads from its standard input. */
  input?: string | Uint8Array;
  /** Kills the command and rejects with {@link ExecTimeoutError} after so many milliseconds; by default never. */
  timeoutMs?: number;
  /** Bytes kept of stdout and of stderr, each; the rest is dropped and the result marked. 64 MiB by default. */
  maxOutputBytes?: number;
}

/** What `vm.run` gives. A code other than 0 is a result, not an error. */
export interface RunResult extends ExitStatus {
  stdout: string;
  stderr: string;
  durationMs: number;
  /** Output was dropped: more than `maxOutputBytes`, or a process left behind still held it open. */
  truncated: boolean;
}

/** What the agent is asked for, with the image's own surroundings where the caller wants nothing else. */
export function execRequest(config: RunConfiguration, argv: readonly string[], options: ExecOptions): ExecRequest {
  if (argv.length === 0) throw new UsageError("there is no command to run: argv is empty");
  const { rows = DEFAULT_SIZE.rows, cols = DEFAULT_SIZE.cols, term } = options;
  return {
    argv: [...argv],
    env: { ...config.env, ...(term !== undefined && { TERM: term }), ...options.env },
    createCwd: options.cwd === undefined,
    cwd: options.cwd === undefined ? config.workdir : posix.resolve(config.workdir, options.cwd),
    user: options.user ?? config.user,
    stdin: options.stdin ?? "ignore",
    ...(options.tty && { tty: terminalSize({ rows, cols }) }),
  };
}

/** @throws UsageError when no terminal can have this size */
export function terminalSize(size: { rows: number; cols: number }): { rows: number; cols: number } {
  for (const [name, value] of Object.entries({ rows: size.rows, cols: size.cols })) {
    if (Number.isInteger(value) && value >= 1 && value <= 65_535) continue;
    throw new UsageError(`${name} is ${value}; a terminal has a whole number of them from 1 to 65535`);
  }
  return { rows: size.rows, cols: size.cols };
}
