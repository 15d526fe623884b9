import { constants } from "node:os";

/** How a command ended, with a shell's conventions: 126 and 127 for one that could not be started, 128+n for a signal. */
export interface ExitStatus {
  exitCode: number;
  /** The signal that killed it, such as `SIGKILL`. */
  signal: NodeJS.Signals | null;
}

/** The exit code that shells and docker give to a command killed by `signal`. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + (constants.signals[signal] ?? 0);
}
