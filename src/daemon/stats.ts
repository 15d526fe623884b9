import * as v from "valibot";
import type { Vm } from "../vm/index.js";

/** What a VM takes of the host. */
export const VmStats = v.object({
  /** When it was measured, as ISO 8601. */
  time: v.string(),
  /** When its hypervisor was started, as ISO 8601. */
  since: v.string(),
  /** Processor time that the hypervisor has used since then. */
  cpuMs: v.optional(v.number()),
  /** Memory of the host that it has for itself alone. */
  memoryBytes: v.optional(v.number()),
  /** Memory that the guest has. */
  guestMemoryBytes: v.number(),
  /** Processes in it; absent while it is paused. */
  processes: v.optional(v.number()),
});
export type VmStats = v.InferOutput<typeof VmStats>;

/** Measures a VM. What this host or the VM in its present state cannot tell is left out. */
export async function statsOf(vm: Vm, about: { memoryMiB: number; since: string }): Promise<VmStats> {
  const [cpuMs, memory, processes] = await Promise.all([
    vm.processorTime(),
    vm.memory().catch(() => undefined),
    vm.paused ? undefined : vm.processes({ signal: AbortSignal.timeout(2_000) }).catch(() => undefined),
  ]);
  return {
    time: new Date().toISOString(),
    since: about.since,
    cpuMs,
    memoryBytes: memory?.privateBytes,
    guestMemoryBytes: about.memoryMiB * 2 ** 20,
    processes: processes?.length,
  };
}
