import { VmError } from "../errors.js";

/** The promise's outcome, a VmError that names `what` was waited for after `timeoutMs`, or the reason of an aborted `signal`. */
export async function withDeadline<T>(
  promise: Promise<T>,
  timeoutMs: number,
  what: string,
  signal?: AbortSignal,
): Promise<T> {
  // When nobody waits for it any more, how it ends is of no interest.
  promise.catch(() => undefined);
  signal?.throwIfAborted();
  let stop = (): void => {};
  const limit = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(new VmError(`Waited ${timeoutMs} ms in vain for ${what}`)), timeoutMs);
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    stop();
  }
}
