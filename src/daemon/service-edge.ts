import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type EdgeWorker, formatAccess, HttpEdge, type WorkerSource } from "../edge/index.js";
import { VmError } from "../errors.js";
import type { Image } from "../image/index.js";
import type { LogFile } from "./log-file.js";
import type { OutputLine, OutputLog } from "./output-log.js";
import { type Running, startWorkload } from "./start-workload.js";
import type { Supervisor } from "./supervisor.js";
import type { EdgeSpec, SupervisorSpec } from "./supervisor-spec.js";

const POLL_MS = 20;
const READY_MS = 60_000;

/** What an edge in front of a supervised VM needs. */
export interface Supervised {
  spec: SupervisorSpec;
  image: Image;
  supervisor: Supervisor;
  output: OutputLog;
  /** Keeps a line for every request. */
  router: LogFile;
}

/**
 * Serves what a supervisor runs on a port of the host, shared with the edges of others: its VM, and as many more as are asked for.
 * @throws NetworkError when another program has the port, UsageError, VmError
 */
export async function openServiceEdge(supervised: Supervised, edge: EdgeSpec, signal?: AbortSignal): Promise<HttpEdge> {
  const { spec, router, supervisor } = supervised;
  const { port, workers, idleTimeoutMs, answerTimeoutMs, tls } = edge;
  const files =
    typeof tls === "object" ? { cert: await readFile(tls.certFile), key: await readFile(tls.keyFile) } : tls;
  const onRequest: Parameters<typeof HttpEdge.listen>[0] = {
    onRequest: (entry) => {
      const line: OutputLine = { time: entry.time, stream: "stdout", text: `${formatAccess(entry)}\n` };
      void router.append(`${JSON.stringify(line)}\n`);
    },
  };
  const opened = await HttpEdge.listen({ port, tls: files, shared: true, ...onRequest });
  try {
    opened.add(spec.name, workersOf(supervised, edge), { workers, idleTimeoutMs, answerTimeoutMs });
    await opened.untilReady(signal);
    const url = opened.url(spec.name);
    await supervisor.served({ url, hostPort: opened.port, guestPort: edge.guestPort });
    supervisor.drain = async (graceMs) => {
      await opened.drain({ graceMs });
      // The other VMs end while the supervisor's own does.
      void opened.close();
    };
    return opened;
  } catch (error) {
    await opened.close({ graceMs: 0 });
    throw error;
  }
}

/** The first one is the supervisor's own VM, which that starts again, and lets sleep; the others are started here. */
function workersOf(supervised: Supervised, edge: EdgeSpec): WorkerSource {
  const { spec, image, supervisor, output } = supervised;
  const gone = new WeakSet<Running>();
  let lent: object | undefined;
  const startOwn = async (signal: AbortSignal): Promise<EdgeWorker> => {
    const loan = {};
    lent = loan;
    const end = () => {
      if (lent === loan) lent = undefined;
    };
    try {
      await supervisor.wake();
      const own = await untilRunning(supervisor, gone, signal);
      const worker = await workerOf(own, edge.guestPort, signal);
      void worker.ended.then(() => {
        gone.add(own);
        end();
      });
      const stop = async () => {
        end();
        // One that ended by itself is the supervisor's to start again.
        if (!gone.has(own)) await supervisor.sleep().catch(() => undefined);
      };
      return { ...worker, stop };
    } catch (error) {
      end();
      throw error;
    }
  };
  const startOther = async (signal: AbortSignal): Promise<EdgeWorker> => {
    // Its ports on the host are taken, and so is its identity.
    const running = await startWorkload(image, { ...spec, publish: [], identity: undefined }, () => undefined, signal);
    const { vm, workload } = running;
    void Promise.allSettled([output.keep(workload.stdout, "stdout"), output.keep(workload.stderr, "stderr")]);
    const stop = () => vm.stop({ graceMs: supervisor.graceMs }).catch(() => undefined);
    try {
      return { ...(await workerOf(running, edge.guestPort, signal)), stop };
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw error;
    }
  };
  return { start: (signal) => (lent ? startOther(signal) : startOwn(signal)), close: async () => undefined };
}

/** The VM that the supervisor runs, once it is none that is known to have ended. @throws VmError when there will be none */
async function untilRunning(supervisor: Supervisor, gone: WeakSet<Running>, signal: AbortSignal): Promise<Running> {
  let isOver = false;
  void supervisor.over.then(() => {
    isOver = true;
  });
  for (;;) {
    signal.throwIfAborted();
    const { running } = supervisor;
    if (running && !gone.has(running)) return running;
    await sleep(POLL_MS, undefined, { signal });
    if (isOver) throw new VmError("its command has ended");
  }
}

async function workerOf({ vm, workload }: Running, port: number, signal: AbortSignal) {
  const ended = workload.wait().then(
    ({ exitCode }) => new VmError(`its command ended with exit code ${exitCode}`),
    (error: Error) => error,
  );
  await Promise.race([
    vm.waitForPort(port, { timeoutMs: READY_MS, signal }),
    ended.then((error) => Promise.reject(error)),
  ]);
  return { ended, connect: (abort?: AbortSignal) => vm.connect(port, abort ? { signal: abort } : {}) };
}
