import { excerpt, type Step } from "../dockerfile/index.js";
import { BuildError, DockerfileError, ExecTimeoutError } from "../errors.js";
import { shownLine } from "../shown-line.js";

const SHOWN_LINES = 20;
const MOST_TITLE = 200;
const OUT_OF_MEMORY =
  "Most likely its machine had no memory left: give SUPERMACHINE_BUILD_MEMORY_MIB more, or let the command do with less.";

/** Says which instruction failed, and where it is. What was aborted or knows its place is given as it is. */
export function stepFailure(step: Step, cause: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted || cause instanceof BuildError || cause instanceof DockerfileError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new BuildError(`${headOf(step)}\n  ${reason}`, { ...aboutStep(step), cause });
}

/** How a command ended. */
interface Ended {
  exitCode: number | null;
  signal: string | null;
  isLate?: boolean | undefined;
}

/** A command ended with another code than 0, or was ended after `timeoutMs`. */
export function commandFailure(step: Step, how: Ended, output: string, timeoutMs?: number): BuildError {
  const what = howItEnded(how, timeoutMs);
  const shown = output.trimEnd().split("\n").slice(-SHOWN_LINES).map(shownLine);
  const words = shown.join("\n").trim() === "" ? "It wrote nothing." : shown.map((line) => `  | ${line}`).join("\n");
  return new BuildError(`${headOf(step)}\n  The command ${what}.\n${words}`, {
    ...aboutStep(step),
    ...(how.isLate && { cause: new ExecTimeoutError(`the command ${what}`, { stdout: output }) }),
    ...(isKilled(how) && !how.isLate && { hint: OUT_OF_MEMORY }),
    exitCode: how.exitCode ?? undefined,
    output,
  });
}

function howItEnded({ exitCode, signal, isLate }: Ended, timeoutMs = 0): string {
  if (isLate) return `was killed after ${timeoutMs / 1000} s, the time that each command of this build has`;
  return signal ? `was killed by ${signal}` : `ended with exit code ${exitCode}`;
}

/** By SIGKILL, of itself or as a shell tells it of its own command. */
function isKilled({ exitCode, signal }: Ended): boolean {
  return signal === "SIGKILL" || exitCode === 137;
}

/** What failed, and where. */
function headOf({ title, instruction }: Step): string {
  const { file, line, column } = instruction.location;
  const text = shownLine(title.split("\n", 1)[0] ?? "");
  const shown = text.length > MOST_TITLE ? `${text.slice(0, MOST_TITLE)}...` : text;
  return `${file}:${line}:${column}: ${shown}\n${excerpt(instruction.location)}`;
}

function aboutStep({ instruction }: Step) {
  const { file, line, column } = instruction.location;
  return { file, line, column, instruction: instruction.text };
}
