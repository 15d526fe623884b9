import { availableParallelism } from "node:os";
import type { SessionIdentity } from "../guest/index.js";
import { Machine } from "./machine.js";
import type { RestoreSource } from "./restore-source.js";
import type { Runtime } from "./runtime.js";

/** How many clones are started at a time: more would only wait for each other's processors. */
const AT_ONCE = Math.max(4, availableParallelism());

/** What became of a fork. */
export interface ForkedMachines {
  /** One for each identity, in their order: the clone, or why there is none. */
  clones: PromiseSettledResult<Machine>[];
  /** How long the source stood still, in milliseconds. */
  pausedMs: number;
}

/**
 * Captures a running (or paused) machine in memory and restores it once for each identity; the source goes on as soon as it is
 * captured. Rejects only when the capture fails or `signal` aborts, and then no clone is left.
 */
export async function forkMachine(
  runtime: Runtime,
  machine: Machine,
  identities: readonly SessionIdentity[],
  signal?: AbortSignal,
): Promise<ForkedMachines> {
  signal?.throwIfAborted();
  await using captured = await machine.captureSource();
  const { source, pausedMs } = captured;
  const clones: PromiseSettledResult<Machine>[] = [];
  const queue = [...identities.entries()];
  const startClones = async () => {
    for (let next = queue.shift(); next && !signal?.aborted; next = queue.shift()) {
      const [index, identity] = next;
      [clones[index]] = await Promise.allSettled([startClone(runtime, source, identity, signal)]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, startClones));
  if (signal?.aborted) {
    await Promise.all(clones.map((clone) => clone?.status === "fulfilled" && clone.value.stop()));
    throw signal.reason;
  }
  return { clones, pausedMs };
}

/** One clone. What a VM has for itself alone is duplicated: its memory and the disk of its root, if it has one. Its other disks are layers, which nobody writes to. */
function startClone(
  runtime: Runtime,
  source: RestoreSource,
  identity: SessionIdentity,
  signal: AbortSignal | undefined,
): Promise<Machine> {
  return Machine.restore(runtime, source, { identity, signal });
}
