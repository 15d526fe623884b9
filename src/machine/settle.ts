import { setTimeout as sleep } from "node:timers/promises";
import { processorTime } from "./processor-time.js";

const MOST_MS = 5_000;
const WINDOW_MS = 100;
/** A tenth of the time. */
const QUIET_MS = 10;
const QUIET_WINDOWS = 3;

/**
 * Waits until a guest is done with what it is at, as far as that can be seen from outside: until its hypervisor nearly stops working. One
 * that never rests is waited for 5 s. Where this host does not tell processor time, this is a short rest.
 * @throws the signal's reason
 */
export async function settle(pid: number, signal?: AbortSignal): Promise<void> {
  const end = Date.now() + MOST_MS;
  let before = await processorTime(pid);
  for (let quiet = 0; quiet < QUIET_WINDOWS && Date.now() < end; ) {
    await sleep(WINDOW_MS);
    signal?.throwIfAborted();
    const now = await processorTime(pid);
    const isQuiet = now === undefined || before === undefined || now - before <= QUIET_MS;
    quiet = isQuiet ? quiet + 1 : 0;
    before = now;
  }
}
