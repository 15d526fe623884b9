import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { VmError } from "../errors.js";
import { GuestConnectionError } from "../guest/index.js";
import type { Vm } from "../vm/index.js";

const POLL_MS = 50;
/** A connection that is refused takes a guest a millisecond, and a server that starts is to have the processor for itself. */
const RETRY = { leastMs: 5, mostMs: 100, share: 0.1 };
const ANSWER_TIMEOUT_MS = 5_000;
/** A command that fails so soon was mistyped, as a rule. */
const SETTLE_MS = 300;

/** When a workload is ready for its users. */
export interface ReadyProbe {
  /** The TCP port in the guest that it has to listen on. */
  port: number;
  /** What has to be answered with the status 200, for HTTP. */
  path?: string | undefined;
  timeoutMs: number;
}

/** A workload that is waited for. */
export interface StartingService {
  name: string;
  /** Without one the workload is ready as soon as it runs, unless it fails at once. */
  ready: ReadyProbe | undefined;
  /**
   * Whether it is connected to until that works. Otherwise the guest looks through its sockets, which a server does not notice, but which
   * takes longer.
   */
  isConnected: boolean;
  /** Whether it may be started again when it ends. */
  isRestarted: boolean;
  /** The VM that it runs in now, if any. */
  vm(): Vm | undefined;
  /** Settles when the first process of it has ended. */
  exited(): Promise<unknown>;
  /** Resolves when it has ended for good, and its VM has. */
  ended: Promise<{ exitCode?: number | undefined; error?: string | undefined }>;
  /** The end of what it wrote. */
  lastWords(): string;
}

/**
 * Resolves when the service is ready, with the connection to its port that showed it, if one did: to be used, or destroyed.
 * @throws VmError with its last words when it will not be
 */
export async function untilReady(service: StartingService, signal?: AbortSignal): Promise<Duplex | undefined> {
  const { name, ready, isRestarted, ended } = service;
  const over = new AbortController();
  const limit = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  let early: VmError | undefined;
  let connection: Duplex | undefined;
  const failed = ended.then(({ exitCode, error }) => {
    if (!ready && exitCode === 0) return;
    const before = ready ? ` before it answered on port ${ready.port}` : " at once";
    early = new VmError(`the workload of ${name} ended with exit code ${exitCode}${before}${tale(service, error)}`);
    throw early;
  });
  failed.catch(() => undefined);
  try {
    if (ready) connection = (await Promise.race([untilAnyAnswers(service, ready, limit), failed])) ?? undefined;
    else if (!isRestarted) await untilSettled(service.exited(), failed, limit);
    signal?.throwIfAborted();
    return connection;
  } catch (cause) {
    signal?.throwIfAborted();
    if (early || !ready) throw early ?? cause;
    throw new VmError(
      `${name} was not ready after ${ready.timeoutMs} ms: ${cause instanceof Error ? cause.message : cause}${tale(service)}`,
      {
        cause,
        hint: "--ready-timeout-ms gives it more time; --port and --probe-path say what is asked.",
      },
    );
  } finally {
    over.abort();
  }
}

/** What exits so soon is told by its end, though that comes later: its VM has to end too. */
async function untilSettled(exited: Promise<unknown>, failed: Promise<void>, signal: AbortSignal): Promise<void> {
  const hasExited = exited.then(
    () => true,
    () => true,
  );
  if (!(await Promise.race([hasExited, sleep(SETTLE_MS, false, { signal })]))) return;
  await Promise.race([failed, once(signal, "abort")]);
}

/** It may take several VMs, where the workload is started again. */
async function untilAnyAnswers(
  { vm, isConnected }: StartingService,
  ready: ReadyProbe,
  signal: AbortSignal,
): Promise<Duplex | undefined> {
  const end = Date.now() + ready.timeoutMs;
  for (;;) {
    const timeoutMs = Math.max(1, end - Date.now());
    const current = vm();
    try {
      if (current) return await untilAnswered(current, { ...ready, timeoutMs }, isConnected, signal);
    } catch (error) {
      // Before that time its VM has ended.
      if (Date.now() >= end) throw error;
    }
    if (Date.now() >= end) throw new VmError(`it did not answer on port ${ready.port} within ${ready.timeoutMs} ms`);
    await sleep(POLL_MS, undefined, { signal });
  }
}

function tale({ lastWords }: StartingService, error?: string): string {
  const why = error === undefined ? "" : ` (${error})`;
  const words = lastWords();
  return words === "" ? `${why}; it wrote nothing` : `${why}; its last output:\n${words}`;
}

/** Resolves when the workload answers. @throws VmError that says how far it came, when it does not in time */
async function untilAnswered(
  vm: Vm,
  probe: ReadyProbe,
  isConnected: boolean,
  signal: AbortSignal,
): Promise<Duplex | undefined> {
  const { port, path, timeoutMs } = probe;
  const end = Date.now() + timeoutMs;
  const first = isConnected ? await firstConnection(vm, port, end, signal) : undefined;
  // This also knows what there is instead.
  if (!first) await vm.waitForPort(port, { timeoutMs: Math.max(1, end - Date.now()), signal });
  if (path === undefined) return first;
  for (let [connection, last] = [first, "nothing"]; ; connection = undefined) {
    signal.throwIfAborted();
    const left = end - Date.now();
    if (left <= 0) throw new VmError(`port ${port} answered GET ${path} with ${last}, not 200, for ${timeoutMs} ms`);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(Math.min(left, ANSWER_TIMEOUT_MS))]);
    connection ??= await connected(vm, port, limit);
    const status = await statusOf(connection, port, path, limit);
    if (status === 200) return undefined;
    // A request that the end of the time cut off is no reason to forget what the one before was answered with.
    if (status !== undefined || !limit.aborted) last = String(status ?? "nothing");
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** Undefined when nobody listens until `end`. @throws VmError when the VM is gone */
async function firstConnection(vm: Vm, port: number, end: number, signal: AbortSignal): Promise<Duplex | undefined> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, end - Date.now()))]);
  for (const start = Date.now(); ; ) {
    const connection = await connected(vm, port, limit);
    const now = Date.now();
    if (connection || limit.aborted) return connection;
    const pauseMs = Math.min(Math.max((now - start) * RETRY.share, RETRY.leastMs), RETRY.mostMs);
    await sleep(pauseMs, undefined, { signal });
  }
}

/** Undefined when nobody listens, or the signal is aborted. It may break before anybody uses it. @throws VmError when the VM is gone */
async function connected(vm: Vm, port: number, signal: AbortSignal): Promise<Duplex | undefined> {
  try {
    return (await vm.connect(port, { signal })).on("error", () => undefined);
  } catch (error) {
    if (error instanceof GuestConnectionError || signal.aborted) return undefined;
    throw error;
  }
}

/** Undefined for no answer. */
async function statusOf(
  connection: Duplex | undefined,
  port: number,
  path: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  if (!connection) return undefined;
  const asking = request({
    createConnection: () => connection,
    path,
    headers: { host: `localhost:${port}`, connection: "close", "user-agent": "supermachine-probe" },
    signal,
  });
  asking.on("error", () => undefined).end();
  try {
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    response.on("error", () => undefined);
    return response.statusCode;
  } catch {
    return undefined;
  } finally {
    asking.destroy();
    connection.destroy();
  }
}
