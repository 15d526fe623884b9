import { UsageError, VmError } from "../errors.js";
import type { AcquireVmOptions, Image, Pool } from "../image/index.js";
import type { CommandChanges, Vm, Workload } from "../vm/index.js";
import { reach } from "./reach.js";
import type { EdgeWorker, WorkerSource } from "./worker-source.js";

const DEFAULT_READY_MS = 30_000;
const DEFAULT_GRACE_MS = 10_000;

/** How the microVMs of a service are had. */
export interface VmWorkerOptions extends CommandChanges, Omit<AcquireVmOptions, "timeoutMs" | "signal"> {
  /** Variables on top of the image's own. */
  env?: Record<string, string> | undefined;
  /** Working directory of the command; by default the image's. */
  cwd?: string | undefined;
  /** `name`, `uid`, `name:group` or `uid:gid`; by default the image's user. */
  user?: string | undefined;
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
export function pooledWorkers(image: Image, workers: number, options: VmWorkerOptions = {}): WorkerSource {
  const { egress, onEgress, mounts = [], volumes = [], guestPort = image.guestPort } = options;
  const { env, cwd, user, cmd, entrypoint } = options;
  const isChanged =
    [cwd, user, cmd, entrypoint].some((each) => each !== undefined) || Object.keys(env ?? {}).length > 0;
  if (isChanged && image.ready !== "start") {
    throw new UsageError(`the command of ${image.name} comes with the snapshot, and cannot be changed`, {
      hint: 'Bake another one with what you want to change, or one that is `ready: "start"`.',
    });
  }
  const changes = {
    env: env ?? {},
    ...(cwd !== undefined && { cwd }),
    ...(user !== undefined && { user }),
    cmd,
    entrypoint,
  };
  // Nothing idles in it: a worker is lent for as long as it serves. While none does, a spare waits for the next request.
  const limits = { max: workers, idleTimeoutMs: 0, acquireTimeoutMs: Number.POSITIVE_INFINITY };
  const pool: Pool = image.pool({ ...limits, keepSpare: true });
  return {
    start: async (signal) => {
      const vm = await pool.acquire({ signal, egress, onEgress, mounts, volumes });
      return serving(vm, () => vm.startWorkload({ signal, ...changes }), { ...options, guestPort }, signal);
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
    const connect = await Promise.race([
      reach(vm, guestPort, { timeoutMs: readyTimeoutMs, signal }),
      ended.then((error) => {
        throw new VmError(`${error.message} before it listened on port ${guestPort}${lastWords(workload)}`);
      }),
    ]);
    return {
      connect,
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
