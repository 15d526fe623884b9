import { setTimeout as sleep } from "node:timers/promises";
import { ExecTimeoutError } from "../errors.js";
import type { RunOptions, RunResult, Vm } from "../vm/index.js";
import type { SupervisorSpec } from "./supervisor-spec.js";

/** While the workload starts, it is asked more often than it is later, so that it is known soon to be well. */
const STARTING_INTERVAL_MS = 1_000;
const OUTPUT_BYTES = 4_096;

/** How it is found out whether a workload is well. */
export interface HealthCheck {
  /** Exits with 0 when it is. */
  argv: string[];
  intervalMs: number;
  /** A check that takes longer has failed. */
  timeoutMs: number;
  /** Failures in the first so many milliseconds do not count. */
  startPeriodMs: number;
  /** So many failures in a row make it unhealthy. */
  retries: number;
}

/** How a workload is, by its health check. */
export interface Health {
  status: "starting" | "healthy" | "unhealthy";
  /** Failures in a row. */
  failures: number;
  /** Of the last check; absent before the first one, and for one that took too long. */
  exitCode?: number | undefined;
  /** The end of what the last check wrote. */
  output?: string | undefined;
}

/** What is asked, and how. */
export interface Monitored {
  check: HealthCheck;
  /** Runs a command in the VM. */
  run(argv: readonly string[], options: RunOptions): Promise<RunResult>;
  /** A VM that stands still is left alone. */
  isPaused(): boolean;
}

/** Watches the health of the workload in a VM, as it was told how; nothing where it has no check. */
export function monitorHealth(
  vm: Vm,
  { health: check, env, cwd, user }: SupervisorSpec,
  onCheck: (health: Health) => void,
): HealthMonitor | undefined {
  if (!check) return undefined;
  const how = { env, ...(cwd !== undefined && { cwd }), ...(user !== undefined && { user }) };
  const run = (argv: readonly string[], options: RunOptions) => vm.run(argv, { ...how, ...options });
  return new HealthMonitor({ check, run, isPaused: () => vm.paused }, onCheck);
}

/** Asks a workload again and again how it is, until it is disposed of. */
export class HealthMonitor implements Disposable {
  readonly #monitored: Monitored;
  readonly #onCheck: (health: Health) => void;
  readonly #over = new AbortController();
  #health: Health = { status: "starting", failures: 0 };

  /** @param onCheck is told the outcome of every check */
  constructor(monitored: Monitored, onCheck: (health: Health) => void) {
    this.#monitored = monitored;
    this.#onCheck = onCheck;
    void this.#watch().catch(() => undefined);
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }

  async #watch(): Promise<void> {
    const { intervalMs, startPeriodMs } = this.#monitored.check;
    const { signal } = this.#over;
    const started = Date.now();
    let counted = started;
    for (;;) {
      const isStarting = this.#health.status === "starting";
      await sleep(isStarting ? Math.min(intervalMs, STARTING_INTERVAL_MS) : intervalMs, undefined, { signal });
      if (this.#monitored.isPaused()) continue;
      const outcome = await this.#ask(signal);
      signal.throwIfAborted();
      const now = Date.now();
      const counts = !isStarting || (now - started >= startPeriodMs && now - counted >= intervalMs);
      if (counts) counted = now;
      this.#note(outcome, counts);
    }
  }

  /** Rejects when the VM is gone. */
  async #ask(signal: AbortSignal): Promise<Pick<Health, "exitCode" | "output">> {
    const { argv, timeoutMs } = this.#monitored.check;
    try {
      const { exitCode, stdout, stderr } = await this.#monitored.run(argv, {
        timeoutMs,
        maxOutputBytes: OUTPUT_BYTES,
        signal,
      });
      return { exitCode, output: stdout + stderr };
    } catch (error) {
      if (!(error instanceof ExecTimeoutError)) throw error;
      return { output: `${error.stdout}${error.stderr}it took longer than ${timeoutMs} ms` };
    }
  }

  #note(outcome: Pick<Health, "exitCode" | "output">, counts: boolean): void {
    const isWell = outcome.exitCode === 0;
    const failures = isWell ? 0 : this.#health.failures + (counts ? 1 : 0);
    const status = isWell ? "healthy" : failures >= this.#monitored.check.retries ? "unhealthy" : this.#health.status;
    this.#health = { status, failures, ...outcome };
    this.#onCheck(this.#health);
  }
}
