import { BakeError, UsageError } from "../errors.js";
import type { Machine } from "../machine/index.js";
import type { Vm, Workload } from "../vm/index.js";
import { type BakeOptions, DEFAULT_GUEST_PORT } from "./options.js";

/**
 * At which moment the snapshot is taken: with the agent ready and nothing else running (`start`); with the image's own command running
 * and listening (`listener`); or just before that command, which every VM then starts afresh (`before-workload`).
 */
export type Ready = "start" | "listener" | "before-workload";

const KINDS: readonly Ready[] = ["start", "listener", "before-workload"];
const DEFAULT_TIMEOUT_MS = 60_000;
const MOST_TIMEOUT_MS = 24 * 3_600_000;
const QUOTED_CHARACTERS = 2_000;

/** The TCP port that an image says it listens on, the lowest of several. */
export function exposedPort(exposed: readonly string[] = []): number | undefined {
  const ports = exposed.map((text) => Number(/^(\d{1,5})(?:\/tcp)?$/.exec(text)?.[1]));
  const usable = ports.filter((port) => port >= 1 && port <= 65_535);
  return usable.length > 0 ? Math.min(...usable) : undefined;
}

/** The checked options. @throws UsageError */
export function readyOf(options: BakeOptions): { ready: Ready; guestPort: number } {
  const { ready = "start", guestPort = DEFAULT_GUEST_PORT } = options;
  if (!KINDS.includes(ready)) throw new UsageError(`ready is ${ready}; it can be ${KINDS.join(", ")}`);
  if (!Number.isInteger(guestPort) || guestPort < 1 || guestPort > 65_535) {
    throw new UsageError(`guestPort is ${guestPort}; it is a whole number from 1 to 65535`);
  }
  checkTimeout("readyTimeoutMs", options.readyTimeoutMs);
  checkTimeout("warmupTimeoutMs", options.warmupTimeoutMs);
  return { ready, guestPort };
}

/** Starts the image's own command in a VM that is being baked, and waits until it listens. @throws BakeError */
export async function startListening(vm: Vm, machine: Machine, what: string, options: BakeOptions): Promise<Workload> {
  const { guestPort } = readyOf(options);
  const { readyTimeoutMs: timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options;
  const workload = await vm.startWorkload();
  const ended = workload.wait().then(({ exitCode, signal: killer }) => {
    const how = killer ? `was killed by ${killer}` : `ended with exit code ${exitCode}`;
    throw new BakeError(`the command of ${what} ${how} before it listened on port ${guestPort}${lastWords(workload)}`);
  });
  try {
    await Promise.race([machine.agent.awaitListener(guestPort, { timeoutMs, ...(signal && { signal }) }), ended]);
    return workload;
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof BakeError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BakeError(
      `the command of ${what} did not listen on port ${guestPort} within ${timeoutMs} ms: ${reason}${lastWords(workload)}`,
      { cause, hint: "Set guestPort to the port that it listens on, or readyTimeoutMs if it needs longer." },
    );
  }
}

function checkTimeout(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isInteger(value) && value > 0 && value <= MOST_TIMEOUT_MS)) return;
  throw new UsageError(`${name} is ${value}; it is a whole number of milliseconds, at most a day`);
}

/** Control characters could disturb a terminal. */
function lastWords(workload: Workload): string {
  const text = workload.output.replace(/[^\P{Cc}\t\n]/gu, "").trimEnd();
  if (text === "") return "; it wrote nothing";
  return `; its last output:\n${text.slice(-QUOTED_CHARACTERS)}`;
}
