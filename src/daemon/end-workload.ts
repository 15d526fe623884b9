import { setTimeout as sleep } from "node:timers/promises";
import type { VmProcess } from "../vm/index.js";
import { parseSignal } from "./stop-signal.js";

/**
 * Sends a workload the signal, and SIGKILL when it has not ended after the grace. Resolves when it has ended, or was killed.
 *
 * @param ended settles when it has ended
 */
export async function endWorkload(
  workload: VmProcess,
  ended: Promise<unknown>,
  { stopSignal, graceMs }: { stopSignal: string; graceMs: number },
): Promise<void> {
  if (graceMs > 0) workload.kill(parseSignal(stopSignal) ?? "SIGTERM");
  const given = new AbortController();
  const tooLate = sleep(graceMs, "late", { signal: given.signal, ref: false });
  const outcome = await Promise.race([ended, tooLate]).catch(() => undefined);
  given.abort();
  tooLate.catch(() => undefined);
  if (outcome === "late") workload.kill("SIGKILL");
}
