import type { Readable, Writable } from "node:stream";
import { VmError } from "../errors.js";
import type { GuestProcess } from "../guest/index.js";
import { terminalSize } from "./exec-options.js";
import { type ExitStatus, signalExitCode } from "./exit-status.js";

export type { ExitStatus } from "./exit-status.js";

/** What can be done with a process in a microVM, wherever that is held. */
export type AttachableProcess = Pick<VmProcess, "stdin" | "stdout" | "stderr" | "kill" | "resize"> & {
  wait(): Promise<ExitStatus & { truncated: boolean }>;
};

/** A process in a microVM. */
export class VmProcess {
  /** Process id in the guest. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly #guest: GuestProcess;

  constructor(guest: GuestProcess) {
    this.pid = guest.pid;
    this.stdin = guest.stdin;
    this.stdout = guest.stdout;
    this.stderr = guest.stderr;
    this.#guest = guest;
  }

  /**
   * How the process ended, once its output has been read to its end; `truncated` when a process that it left behind still
   * held the output open. Read the output meanwhile: a command stalls once 64 KiB of it wait. Rejects with the reason of the
   * abort signal when that killed it, and with VmError when the VM is gone.
   */
  async wait(): Promise<ExitStatus & { truncated: boolean; step: number }> {
    const { exitCode, signal, truncated, step } = await this.#guest.wait();
    if (signal === null) {
      if (exitCode === null) throw new VmError("the guest reported an end without a code");
      return { exitCode, signal, truncated, step };
    }
    const name = signal as NodeJS.Signals;
    return { exitCode: signalExitCode(name), signal: name, truncated, step };
  }

  /** Bytes of its output from before it was attached to that there was no room to keep. */
  get lostBytes(): number {
    return this.#guest.lostBytes;
  }

  /**
   * Lets go of the process, which runs on: its streams end here, and `wait()` rejects. What it still writes is kept if it was started
   * with `keepOutput`, so that `vm.attach(pid)` has it; else it is thrown away.
   */
  detach(): void {
    this.#guest.detach();
  }

  /** Sends a signal to the process and those of its process group. SIGTERM by default. */
  kill(signal: NodeJS.Signals | number = "SIGTERM"): void {
    this.#guest.kill(signal);
  }

  /** Tells a process with a terminal the terminal's new size. @throws UsageError */
  resize(size: { rows: number; cols: number }): void {
    this.#guest.resize(terminalSize(size));
  }
}
