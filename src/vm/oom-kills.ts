import type { Vm } from "./vm.js";

const LIMIT_MS = 1_000;

/** How often the guest's kernel ended a process for want of memory; 0 where it does not say in time. */
export async function oomKills(vm: Vm): Promise<number> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const text = await vm.readFile("/proc/vmstat", { encoding: "latin1", signal: limit }).catch(() => "");
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
}
