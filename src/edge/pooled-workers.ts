import { VmError } from "../errors.js";
import type { Image, Pool } from "../image/index.js";
import type { NetworkOptions } from "../network/index.js";
import type { Vm, Workload } from "../vm/index.js";
import type { EdgeWorker, WorkerSource } from "./worker-source.js";

const DEFAULT_READY_MS = 30_000;
const DEFAULT_GRACE_MS = 10_000;

/** How the microVMs of a service are had. */
export interface VmWorkerOptions {
  /** The TCP port that the image's own command listens on; by default the image's. */
  guestPort?: number | undefined;
  /** How many milliseconds a command that is started afresh may take until it listens; 30,000 by default. */
  readyTimeoutMs?: number | undefined;
  /** How many milliseconds a command has to end after SIGTERM, when its worker is not needed any more; 10,000 by default. */
  stopGraceMs?: number | undefined;
  /** Is called with each microVM, before it is given requests. */
  onVm?: ((vm: Vm) => void) | undefined;
}

/**
 * MicroVMs of an image as workers, out of a pool. Those of an image that was baked with `ready: "listener"` serve as soon as they are
 * restored; in others the image's own command is started first.
 */
export function pooledWorkers(
  image: Image,
  workers: number,
  options: VmWorkerOptions & NetworkOptions = {},
): WorkerSource {
  // Nothing idles in it: a worker is lent for as long as it serves.
  const pool: Pool = image.pool({ max: workers, idleTimeoutMs: 0, acquireTimeoutMs: Number.POSITIVE_INFINITY });
  const { egress, onEgress, guestPort = image.guestPort } = options;
  return {
    start: async (signal) => {
      const vm = await pool.acquire({ signal, egress, onEgress });
      return serving(vm, () => vm.startWorkload({ signal }), { ...options, guestPort }, signal);
    },
    close: () => pool.close(),
  };
}

/** A microVM as a worker, once its command listens. @throws VmError when it does not, with what it wrote */
export async function serving(
  vm: Vm,
  startWorkload: () => Promise<Workload>,
  options: VmWorkerOptions & { guestPort: number },
  signal: AbortSignal,
): Promise<EdgeWorker> {
  const { guestPort, readyTimeoutMs = DEFAULT_READY_MS, stopGraceMs = DEFAULT_GRACE_MS } = options;
  try {
    const workload = vm.workload ?? (await startWorkload());
    options.onVm?.(vm);
    const ended = workload.wait().then(
      ({ exitCode, signal: killer }) =>
        new VmError(`its command ${killer ? `was killed by ${killer}` : `ended with exit code ${exitCode}`}`),
      (error: Error) => error,
    );
    await Promise.race([
      vm.waitForPort(guestPort, { timeoutMs: readyTimeoutMs, signal }),
      ended.then((error) => {
        throw new VmError(`${error.message} before it listened on port ${guestPort}${lastWords(workload)}`);
      }),
    ]);
    return {
      connect: (abort) => vm.connect(guestPort, abort ? { signal: abort } : {}),
      ended,
      stop: () => vm.stop({ graceMs: stopGraceMs }).catch(() => undefined),
    };
  } catch (error) {
    await vm.stop({ graceMs: 0 }).catch(() => undefined);
    throw error;
  }
}

/** Control characters could disturb a terminal. */
function lastWords(workload: Workload): string {
  const text = workload.output.replace(/[^\P{Cc}\t\n]/gu, "").trimEnd();
  return text === "" ? "; it wrote nothing" : `; its last output:\n${text.slice(-2_000)}`;
}
