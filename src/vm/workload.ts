import type { Readable } from "node:stream";
import type { ExitStatus } from "./exit-status.js";
import type { VmProcess } from "./process.js";

const KEPT_BYTES = 65_536;

/** Is given a piece of a workload's output. */
export type OutputListener = (chunk: Buffer, stream: "stdout" | "stderr") => void;

/** The image's own command, running as a service: its output is always read, and the last of it kept. */
export class Workload {
  /** Process id in the guest. */
  readonly pid: number;
  readonly #process: VmProcess;
  readonly #ended: Promise<ExitStatus>;
  readonly #listeners = new Set<OutputListener>();
  #kept: { chunk: Buffer; name: "stdout" | "stderr" }[] = [];
  #keptBytes = 0;

  constructor(process: VmProcess) {
    this.pid = process.pid;
    this.#process = process;
    this.#keep(process.stdout, "stdout");
    this.#keep(process.stderr, "stderr");
    this.#ended = process.wait();
    // Whoever waits gets the rejection; that nobody waits is no unhandled one.
    this.#ended.catch(() => undefined);
  }

  /** The last 64 KiB that it wrote, standard output and standard error as they came. */
  get output(): string {
    const all = Buffer.concat(this.#kept.map(({ chunk }) => chunk));
    return all.subarray(-KEPT_BYTES).toString("utf8");
  }

  /**
   * Hands on what it writes: first what was kept of it, then each piece as it comes. A listener that is slow does not hold the workload up.
   * @returns ends it
   */
  follow(listener: OutputListener): () => void {
    for (const { chunk, name } of this.#kept) listener(chunk, name);
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
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

  #keep(stream: Readable, name: "stdout" | "stderr"): void {
    stream.on("data", (chunk: Buffer) => {
      this.#kept.push({ chunk, name });
      this.#keptBytes += chunk.length;
      // The first piece may be kept in part: `output` cuts it.
      for (
        let first = this.#kept[0];
        first && this.#keptBytes - first.chunk.length >= KEPT_BYTES;
        first = this.#kept[0]
      ) {
        this.#keptBytes -= first.chunk.length;
        this.#kept.shift();
      }
      for (const listener of this.#listeners) listener(chunk, name);
    });
    // wait() tells what went wrong.
    stream.on("error", () => undefined);
  }
}
