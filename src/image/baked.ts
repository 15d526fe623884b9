import type { Machine, RestoreOptions } from "../machine/index.js";

/** Whoever bakes an image mostly starts a VM of it at once. */
const KEPT_MS = 2_000;

/** The machines that were baked a moment ago, paused since their capture, by snapshot. */
const kept = new Map<string, { machine: Machine; timer: NodeJS.Timeout }>();

/** Which snapshot it is: a name may be baked again. */
export function snapshotId(folder: string, metadata: { createdAt: string }): string {
  return `${folder}\0${metadata.createdAt}`;
}

/** Keeps the machine of a bake for a moment, for the first VM of the image. It does not keep this process alive. */
export function keepBaked(snapshot: string, machine: Machine): void {
  machine.unref();
  const timer = setTimeout(() => {
    kept.delete(snapshot);
    void machine.stop();
  }, KEPT_MS).unref();
  kept.set(snapshot, { machine, timer });
}

/** The machine that the snapshot was taken of, with a session of its own, if it is still there: as good as a restored one. */
export async function takeBaked(snapshot: string, options: RestoreOptions): Promise<Machine | undefined> {
  const found = kept.get(snapshot);
  if (!found) return undefined;
  kept.delete(snapshot);
  clearTimeout(found.timer);
  found.machine.ref();
  try {
    return await found.machine.handOver(options);
  } catch {
    // It died meanwhile: there is the snapshot.
    options.signal?.throwIfAborted();
    return undefined;
  }
}
