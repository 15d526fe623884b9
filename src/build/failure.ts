import { excerpt, type Step } from "../dockerfile/index.js";
import { BuildError, DockerfileError } from "../errors.js";
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

/** A command ended with another code than 0. */
export function commandFailure(
  step: Step,
  how: { exitCode: number | null; signal: string | null },
  output: string,
): BuildError {
  const what = how.signal ? `was killed by ${how.signal}` : `ended with exit code ${how.exitCode}`;
  const shown = output.trimEnd().split("\n").slice(-SHOWN_LINES).map(shownLine);
  const words = shown.join("\n").trim() === "" ? "It wrote nothing." : shown.map((line) => `  | ${line}`).join("\n");
  return new BuildError(`${headOf(step)}\n  The command ${what}.\n${words}`, {
    ...aboutStep(step),
    ...(isKilled(how) && { hint: OUT_OF_MEMORY }),
    exitCode: how.exitCode ?? undefined,
    output,
  });
}

/** By SIGKILL, of itself or as a shell tells it of its own command. */
function isKilled({ exitCode, signal }: { exitCode: number | null; signal: string | null }): boolean {
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
