import { setTimeout as sleep } from "node:timers/promises";
import type { BootSource, Hardware, Hypervisor, RamFile, Worker } from "../engine/index.js";
import { VmError } from "../errors.js";
import { Agent } from "../guest/index.js";

/** A guest that has booted and whose agent has answered. */
export interface Booted {
  worker: Worker;
  agent: Agent;
}

/** How long a boot may take. */
export interface BootLimits {
  /** From start to the agent's answer. */
  totalMs: number;
  /** Without a byte on the (verbose) console: a guest that hangs is given up long before the total. */
  silentMs?: number;
}

/** Boots a kernel and waits for the agent. @throws VmError with the console's last lines when the agent never answers. */
export async function boot(
  hypervisor: Hypervisor,
  hardware: Hardware,
  ram: RamFile,
  source: BootSource,
  limits: BootLimits,
  signal?: AbortSignal,
): Promise<Booted> {
  const worker = await hypervisor.boot(hardware, ram, source, signal);
  const over = new AbortController();
  const stop = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  try {
    const connected = Agent.connect(worker.links, { timeoutMs: limits.totalMs, signal: stop });
    const agent = await Promise.race([connected, died(worker), silence(worker, limits.silentMs, over.signal)]);
    return { worker, agent };
  } catch (cause) {
    over.abort();
    await worker.kill();
    signal?.throwIfAborted();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new VmError(`the guest did not boot: ${reason}\n${worker.diagnostics()}`.trimEnd(), { cause });
  } finally {
    over.abort();
  }
}

async function died(worker: Worker): Promise<never> {
  const { code, signal } = await worker.exited;
  throw new VmError(`QEMU ended (${signal ?? `code ${code}`})`);
}

async function silence(worker: Worker, limitMs: number | undefined, over: AbortSignal): Promise<never> {
  if (limitMs === undefined) return new Promise<never>(() => undefined);
  let [seen, since] = [0, performance.now()];
  while (!over.aborted) {
    await sleep(100, undefined, { signal: over }).catch(() => undefined);
    if (worker.consoleBytes() !== seen) [seen, since] = [worker.consoleBytes(), performance.now()];
    if (performance.now() - since > limitMs) throw new VmError(`its console was silent for ${limitMs / 1000} s`);
  }
  return new Promise<never>(() => undefined);
}
