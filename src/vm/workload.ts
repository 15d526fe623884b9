import type { Readable } from "node:stream";
import type { ExitStatus } from "./exit-status.js";
import type { VmProcess } from "./process.js";

const KEPT_BYTES = 65_536;

/** The image's own command, running as a service: its output is always read, and the last of it kept. */
export class Workload {
  /** Process id in the guest. */
  readonly pid: number;
  readonly #process: VmProcess;
  readonly #ended: Promise<ExitStatus>;
  #output = Buffer.alloc(0);

  constructor(process: VmProcess) {
    this.pid = process.pid;
    this.#process = process;
    for (const stream of [process.stdout, process.stderr]) this.#keep(stream);
    this.#ended = process.wait();
    // Whoever waits gets the rejection; that nobody waits is no unhandled one.
    this.#ended.catch(() => undefined);
  }

  /** The last 64 KiB that it wrote, standard output and standard error as they came. */
  get output(): string {
    return this.#output.toString("utf8");
  }

  /** How it ended, once it has. Rejects with VmError when the VM is gone before. */
  async wait(): Promise<ExitStatus> {
    const { exitCode, signal } = await this.#ended;
    return { exitCode, signal };
  }

  /** Sends a signal to the process and those of its process group. SIGTERM by default. */
  kill(signal: NodeJS.Signals | number = "SIGTERM"): void {
    this.#process.kill(signal);
  }

  #keep(stream: Readable): void {
    stream.on("data", (chunk: Buffer) => {
      this.#output = Buffer.concat([this.#output, chunk]).subarray(-KEPT_BYTES);
    });
    // wait() tells what went wrong.
    stream.on("error", () => undefined);
  }
}
