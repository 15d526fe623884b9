import { ExecTimeoutError } from "../errors.js";
import { type Agent, ExecFailure, type ExecRequest } from "../guest/index.js";
import { execRequest, type RunOptions, type RunResult } from "./exec-options.js";
import { Output } from "./output.js";
import { VmProcess } from "./process.js";
import type { RunConfiguration } from "./run-configuration.js";
import { stageLarge } from "./stage.js";

const DEFAULT_MAX_OUTPUT_BYTES = 64 * 2 ** 20;
/** The output is collected at once, so that little else waits for it, however much there is. */
const OUTPUT_WINDOW_BYTES = 2 ** 20;
/** More of it goes where files go, so that it delays no keystroke. */
const SMALL_INPUT_BYTES = 65_536;

/** Runs a command to its end and collects its output: `vm.run`. */
export async function runCommand(
  agent: Agent,
  config: RunConfiguration,
  argv: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const started = performance.now();
  const deadline = options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs);
  const signals = [options.signal, deadline].filter((each) => each !== undefined);
  const signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0];
  const limit = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
  let [stdout, stderr]: (Output | undefined)[] = [];
  try {
    const whole = await stageLarge(agent, requestOf(config, argv, options), signal);
    const guest = await agent.exec(whole, signal ? { signal } : {});
    stdout = new Output(guest.stdout, limit);
    stderr = new Output(guest.stderr, limit);
    const process = new VmProcess(guest);
    if (options.input !== undefined) process.stdin.on("error", () => undefined).end(options.input);
    const status = await process.wait();
    const truncated = status.truncated || stdout.truncated || stderr.truncated;
    const durationMs = performance.now() - started;
    return { ...status, stdout: stdout.text, stderr: stderr.text, durationMs, truncated };
  } catch (error) {
    if (deadline?.aborted && !options.signal?.aborted) {
      throw new ExecTimeoutError(`${argv[0]} ran longer than ${options.timeoutMs} ms and was killed`, {
        stdout: stdout?.text ?? "",
        stderr: stderr?.text ?? "",
      });
    }
    options.signal?.throwIfAborted();
    if (!(error instanceof ExecFailure) || error.stage === "files") throw error;
    const durationMs = performance.now() - started;
    return failedStart(error, durationMs, { stdout: stdout?.text ?? "", stderr: stderr?.text ?? "" });
  }
}

function requestOf(config: RunConfiguration, argv: readonly string[], options: RunOptions): ExecRequest {
  const { input, timeoutMs } = options;
  return {
    ...execRequest(config, argv, { ...options, stdin: input === undefined ? "ignore" : "pipe" }),
    link: input !== undefined && Buffer.byteLength(input) > SMALL_INPUT_BYTES ? "bulk" : "control",
    outputWindow: OUTPUT_WINDOW_BYTES,
    killTree: timeoutMs !== undefined,
  };
}

/** Of a chain, there may be output of the commands before the one that could not be started. */
function failedStart(failure: ExecFailure, durationMs: number, output: { stdout: string; stderr: string }): RunResult {
  const { exitCode } = failure;
  const stderr = `${output.stderr}${failure.message}\n`;
  return { exitCode, signal: null, stdout: output.stdout, stderr, durationMs, truncated: false, step: failure.step };
}
