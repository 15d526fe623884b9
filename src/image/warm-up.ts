import { BakeError, UsageError } from "../errors.js";
import type { Vm } from "../vm/index.js";
import type { BakeOptions } from "./options.js";

/**
 * Brings a VM that is being baked into the state that every VM of the image shall start from. `signal` aborts when the bake does and
 * when the time is over.
 */
export type Warmup = (vm: Vm, context: { signal: AbortSignal }) => Promise<unknown>;

const DEFAULT_TIMEOUT_MS = 600_000;

/**
 * The tag that stands for the warm-up in the bake's key, if there is one.
 * @throws UsageError for one without the other: from the function alone nobody can tell whether it would do the same again
 */
export function warmupTagOf({ warmup, warmupTag }: BakeOptions): string | undefined {
  if (warmup && !warmupTag) {
    throw new UsageError("warmup needs a warmupTag", {
      hint: "Name what the warm-up does, such as `deps-v1`, and change it whenever the warm-up changes: the same tag is not run again.",
    });
  }
  if (warmupTag !== undefined && !warmup) throw new UsageError(`warmupTag is ${warmupTag}, but there is no warmup`);
  return warmupTag;
}

/** Runs the caller's warm-up. @throws BakeError with what it threw as its cause */
export async function runWarmup(vm: Vm, what: string, options: BakeOptions): Promise<void> {
  const { warmup, warmupTimeoutMs = DEFAULT_TIMEOUT_MS, signal: outer } = options;
  if (!warmup) return;
  const step = { phase: "warm-up" as const, item: what };
  options.onProgress?.(step);
  const limit = AbortSignal.timeout(warmupTimeoutMs);
  const signal = outer ? AbortSignal.any([outer, limit]) : limit;
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    await Promise.race([aborted, warmup(vm, { signal })]);
  } catch (cause) {
    outer?.throwIfAborted();
    const reason = cause instanceof Error ? cause.message : String(cause);
    const how = limit.aborted ? `did not end within ${warmupTimeoutMs} ms` : `failed: ${reason}`;
    throw new BakeError(`the warm-up of ${what} ${how}`, { cause });
  }
  options.onProgress?.({ ...step, finished: true });
}
