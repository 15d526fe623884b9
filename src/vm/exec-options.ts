import { posix } from "node:path";
import { UsageError } from "../errors.js";
import type { ExecRequest } from "../guest/index.js";
import type { ExitStatus } from "./exit-status.js";
import { type Rlimits, resourceLimits } from "./rlimits.js";
import type { RunConfiguration } from "./run-configuration.js";
import { type StagedFile, stagedFiles } from "./stage.js";

const KEEP_BYTES = 65_536;
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
  /** Limits of its resources, by docker's names for them, on top of those that were baked in. */
  rlimits?: Rlimits;
  /**
   * Files that are written before it starts, by path (relative to its working directory), as its user; missing folders are made. In
   * one round trip with the start as long as they are at most 64 and 512 KiB together.
   */
  stageFiles?: Readonly<Record<string, StagedFile>>;
  /** Commands that follow, each if the one before has ended with 0, on the same streams and in the same round trip. */
  chain?: readonly (readonly string[])[];
  /**
   * Keeps the last of its output in the guest: this many bytes (4 KiB to 16 MiB), or 64 KiB for `true`. The process can then be left
   * and attached to again, also in a VM that was restored from a snapshot of this one or forked off it.
   */
  keepOutput?: boolean | number;
  /** Kills the command. */
  signal?: AbortSignal;
}

/** How `vm.run` runs a command. */
export interface RunOptions extends Omit<ExecOptions, "stdin"> {
  /** What the command reads from its standard input. */
  input?: string | Uint8Array;
  /**
   * Kills the command, and all that it has ever started, and rejects with {@link ExecTimeoutError} after so many milliseconds; by
   * default never.
   */
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
  /** Of a `chain`: which command ended it, 0 being the first. */
  step: number;
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
    ...extras(config, options),
  };
}

/** What most commands do without. */
function extras(config: RunConfiguration, options: ExecOptions): Partial<ExecRequest> {
  const { chain, stageFiles, keepOutput } = options;
  if (chain?.length && options.tty) {
    throw new UsageError("a chain cannot run on a terminal: its first command's end hangs the terminal up", {
      hint: "Let a shell run the commands.",
    });
  }
  const cwd = posix.resolve(config.workdir, options.cwd ?? "");
  const rlimits = { ...config.ulimits, ...options.rlimits };
  return {
    ...(Object.keys(rlimits).length > 0 && { rlimits: resourceLimits(rlimits) }),
    ...(stageFiles && { files: stagedFiles(stageFiles, cwd) }),
    ...(chain && { chain }),
    ...(keepOutput && { keepOutputBytes: keepBytes(keepOutput) }),
  };
}

function keepBytes(keep: true | number): number {
  if (keep === true) return KEEP_BYTES;
  if (Number.isInteger(keep) && keep >= 4_096 && keep <= 2 ** 24) return keep;
  throw new UsageError(`keepOutput is ${keep}; it is a whole number of bytes from 4096 to ${2 ** 24}`);
}

/** @throws UsageError when no terminal can have this size */
export function terminalSize(size: { rows: number; cols: number }): { rows: number; cols: number } {
  for (const [name, value] of Object.entries({ rows: size.rows, cols: size.cols })) {
    if (Number.isInteger(value) && value >= 1 && value <= 65_535) continue;
    throw new UsageError(`${name} is ${value}; a terminal has a whole number of them from 1 to 65535`);
  }
  return { rows: size.rows, cols: size.cols };
}
