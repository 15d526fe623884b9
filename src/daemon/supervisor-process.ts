import type { ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../package-root.js";
import { forkSupervisor, takeEarlySupervisor } from "./fork-supervisor.js";

/** The built one, also where this module runs from its source. */
const MAIN = join(packageRoot, "dist", "daemon", "supervisor-main.js");

/** A supervisor's process that was started ahead of time. Disposed of before anybody took it, it ends. */
export interface WaitingSupervisor extends Disposable {
  /** Hands it over, once. */
  take(): ChildProcess;
}

/**
 * Starts a supervisor's process for {@link startDetached}, which need not wait for it then: what takes a tenth of a second can be done
 * while the image is opened. On the command line the launcher has done so.
 */
export function prepareSupervisor(): WaitingSupervisor {
  let child: ChildProcess | undefined = startSupervisor({ isOpened: true });
  return {
    take() {
      const taken = child?.connected ? child : startSupervisor({ isOpened: true });
      child = undefined;
      return taken;
    },
    [Symbol.dispose]: () => void child?.kill("SIGKILL"),
  };
}

/** Ends the process that the launcher took to be wanted. */
export function dismissSupervisor(): undefined {
  takeEarlySupervisor()?.kill("SIGKILL");
}

/** A process that becomes a supervisor as soon as it is told what to run, see {@link forkSupervisor}. */
export function startSupervisor(how = { isOpened: false }): ChildProcess {
  const early = takeEarlySupervisor();
  return early?.connected ? early : forkSupervisor(MAIN, how);
}

/**
 * Has all that this process writes, whoever does it, go to the end of a file from now on.
 * @throws Error with the system's `code` when the file cannot be opened
 */
export function writeTo(path: string): void {
  for (const descriptor of [1, 2]) {
    closeSync(descriptor);
    // POSIX gives the lowest number that is free.
    const opened = openSync(path, "a", 0o600);
    if (opened !== descriptor) throw new Error(`${path} was opened as ${opened}, not ${descriptor}`);
  }
}
