import type { Step } from "../dockerfile/index.js";
import { BuildError, DockerfileError } from "../errors.js";

const SHOWN_LINES = 20;
const MOST_TITLE = 200;

/** Says which instruction failed, and where it is. What was aborted or knows its place is given as it is. */
export function stepFailure(step: Step, cause: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted || cause instanceof BuildError || cause instanceof DockerfileError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new BuildError(`${placeOf(step)}: ${titleOf(step)}\n  ${reason}`, { ...aboutStep(step), cause });
}

/** A command ended with another code than 0. */
export function commandFailure(
  step: Step,
  how: { exitCode: number | null; signal: string | null },
  output: string,
): BuildError {
  const what = how.signal ? `was killed by ${how.signal}` : `ended with exit code ${how.exitCode}`;
  const shown = output.trimEnd().split("\n").slice(-SHOWN_LINES);
  const words = shown.join("\n").trim() === "" ? "It wrote nothing." : shown.map((line) => `  | ${line}`).join("\n");
  return new BuildError(`${placeOf(step)}: ${titleOf(step)}\n  The command ${what}.\n${words}`, {
    ...aboutStep(step),
    exitCode: how.exitCode ?? undefined,
    output,
  });
}

function placeOf({ instruction }: Step): string {
  return `${instruction.location.file}:${instruction.location.line}`;
}

function titleOf({ title }: Step): string {
  const line = title.split("\n", 1)[0] ?? "";
  return line.length > MOST_TITLE ? `${line.slice(0, MOST_TITLE)}...` : line;
}

function aboutStep({ instruction }: Step) {
  return { file: instruction.location.file, line: instruction.location.line, instruction: instruction.text };
}
