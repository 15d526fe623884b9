import { setMaxListeners } from "node:events";

/**
 * Runs tasks at the same time. When one fails the others are aborted, and only after all of them have let go of what they hold
 * is the failure reported.
 * @param signal aborts all of them
 */
export async function together<T extends readonly unknown[]>(
  signal: AbortSignal | undefined,
  tasks: { [K in keyof T]: (signal: AbortSignal) => Promise<T[K]> },
): Promise<T> {
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  // Each task listens, and they may be many.
  setMaxListeners(0, either);
  const running = tasks.map((task) => task(either));
  try {
    return (await Promise.all(running)) as unknown as T;
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(running);
    throw error;
  }
}
