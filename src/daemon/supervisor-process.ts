import { type ChildProcess, fork } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { link } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../package-root.js";
import { home, openScratch, sweepScratch } from "../store/index.js";

/** The built one, also where this module runs from its source. */
const MAIN = join(packageRoot, "dist", "daemon", "supervisor-main.js");
/** What files end in that hold what supervisors without a VM yet have to say. */
const EARLY_MESSAGES = "messages";

/** A process that becomes a supervisor as soon as it is told what to run. It writes what goes wrong to `messages`. */
export function forkSupervisor(messages: string): ChildProcess {
  const log = openSync(messages, "a", 0o600);
  try {
    // `fork` gives it no terminal, no descriptor of ours but the log, and a session of its own: it outlives us.
    return fork(MAIN, { detached: true, stdio: ["ignore", log, log, "ipc"] });
  } finally {
    closeSync(log);
  }
}

/** A supervisor's process that was started ahead of time. Disposed of before anybody took it, it ends. */
export interface WaitingSupervisor extends AsyncDisposable {
  /** Hands it over, once; what it says is at `messages` from then on. */
  take(messages: string): Promise<ChildProcess>;
}

/**
 * Starts a supervisor's process for {@link startDetached}, which need not wait for it then: what takes a tenth of a second can be done
 * while the image is opened.
 */
export async function prepareSupervisor(): Promise<WaitingSupervisor> {
  const { run } = home();
  await sweepScratch(run, EARLY_MESSAGES);
  const early = await openScratch(run, EARLY_MESSAGES);
  const child = forkSupervisor(early.path);
  let taken = false;
  return {
    async take(messages) {
      try {
        await link(early.path, messages);
      } catch (error) {
        // EEXIST: a VM of that name ran before, and what it had to say stays. EXDEV: the VMs' records are on a disk of their own.
        if (!["EEXIST", "EXDEV"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
        return forkSupervisor(messages);
      }
      taken = true;
      return child;
    },
    async [Symbol.asyncDispose]() {
      if (!taken) child.kill("SIGKILL");
      await early[Symbol.asyncDispose]();
    },
  };
}
