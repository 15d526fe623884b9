import { readFile } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { type EdgeWorker, formatAccess, HttpEdge, reach, type WorkerSource } from "../edge/index.js";
import { VmError } from "../errors.js";
import type { Image } from "../image/index.js";
import type { LogFile } from "./log-file.js";
import type { OutputLine, OutputLog } from "./output-log.js";
import { type Running, startWorkload } from "./start-workload.js";
import type { Supervisor } from "./supervisor.js";
import type { EdgeSpec, SupervisorSpec } from "./supervisor-spec.js";

const READY_MS = 60_000;

/** What an edge in front of a supervised VM needs. */
export interface Supervised {
  spec: SupervisorSpec;
  image: Image;
  supervisor: Supervisor;
  output: OutputLog;
  /** Keeps a line for every request. */
  router: LogFile;
  /** One to its VM that is for the first request, or of no use any more. */
  connection: Duplex | undefined;
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
    supervisor.served({ url, hostPort: opened.port, guestPort: edge.guestPort });
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
  let former: Running | undefined;
  let lent: object | undefined;
  let { connection } = supervised;
  const startOwn = async (signal: AbortSignal): Promise<EdgeWorker> => {
    const loan = {};
    lent = loan;
    const end = () => {
      if (lent === loan) lent = undefined;
    };
    try {
      await supervisor.wake();
      const own = await supervisor.next(former, signal);
      const gone = () => {
        former = own;
        end();
      };
      own.workload.wait().then(gone, gone);
      const made = connection;
      connection = undefined;
      const worker = await workerOf(own, edge.guestPort, signal, made);
      const stop = async () => {
        end();
        // One that ended by itself is the supervisor's to start again.
        if (former !== own) await supervisor.sleep().catch(() => undefined);
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
  // What sleeps is woken sooner by a spare.
  const reserve = edge.idleTimeoutMs === undefined ? undefined : image.pool({ keepSpare: true });
  return { start: (signal) => (lent ? startOther(signal) : startOwn(signal)), close: async () => reserve?.close() };
}

async function workerOf({ vm, workload }: Running, port: number, signal: AbortSignal, made?: Duplex) {
  const ended = workload.wait().then(
    ({ exitCode }) => new VmError(`its command ended with exit code ${exitCode}`),
    (error: Error) => error,
  );
  const connect = await Promise.race([
    reach(vm, port, { timeoutMs: READY_MS, signal, made }),
    ended.then((error) => Promise.reject(error)),
  ]);
  return { ended, connect };
}
