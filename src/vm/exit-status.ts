import { signalNumber } from "../guest/index.js";

/** How a command ended, with a shell's conventions: 126 and 127 for one that could not be started, 128+n for a signal. */
export interface ExitStatus {
  exitCode: number;
  /** The signal that killed it, such as `SIGKILL`. */
  signal: NodeJS.Signals | null;
}

/** The exit code that shells and docker give to a command killed by `signal`, by Linux's numbers, which are the guest's. */
export function signalExitCode(signal: NodeJS.Signals): number {
  // A real-time signal has its number for a name, such as `SIG34`.
  return 128 + (signalNumber(signal) ?? Number(signal.slice("SIG".length)));
}
