import { constants } from "node:os";

/** Why work was given up: the user, or the system, asked for it. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: "SIGINT" | "SIGTERM" | "SIGHUP") {
    super(`interrupted by ${signal}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** Aborts on SIGINT, SIGTERM and SIGHUP, so that a command can clean up and end by itself. A second signal ends it at once. */
export function onInterrupt(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      const interrupted = new Interrupted(signal);
      // Not by the signal's own doing, which would leave a terminal in raw mode.
      if (controller.signal.aborted) process.exit(interrupted.exitCode);
      controller.abort(interrupted);
    });
  }
  return controller.signal;
}
