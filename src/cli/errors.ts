import { SupermachineError, UsageError } from "../errors.js";
import { logLevel } from "../log.js";
import { shownLine } from "../shown-line.js";
import { Interrupted } from "./interrupt.js";

/** Prints an error for people and gives the exit code: 2 for wrong usage, 128+n when interrupted, else 1. */
export function reportError(error: unknown): number {
  if (error instanceof Interrupted) {
    process.stderr.write(`supermachine: ${error.message}\n`);
    return error.exitCode;
  }
  if (!SupermachineError.is(error)) {
    process.stderr.write(`supermachine: unexpected error: ${error instanceof Error ? error.stack : String(error)}\n`);
    return 1;
  }
  // It may tell what a guest, a registry or a file said.
  process.stderr.write(`supermachine: ${error.message.split("\n").map(shownLine).join("\n")}\n`);
  if (logLevel() === "debug") process.stderr.write(`${causes(error)}\n`);
  return error instanceof UsageError ? 2 : 1;
}

function causes(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by: ${causes(error.cause)}` : "";
  return `${error.stack}${cause}`;
}
