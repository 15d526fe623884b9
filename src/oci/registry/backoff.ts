import { setTimeout as sleep } from "node:timers/promises";
import { log } from "../../log.js";
import type { OnRetry } from "../origin.js";
import { HttpFailure, isTransient, isUnreachable, reasonOf } from "./http-failure.js";
import type { NetworkLimits } from "./network-limits.js";

/** Counts the tries of one request, and waits between them: longer each time, and never in step with other clients. */
export class Backoff {
  readonly #limits: NetworkLimits;
  readonly #signal: AbortSignal | undefined;
  readonly #onRetry: OnRetry | undefined;
  #failures = 0;
  #wasReached = false;

  constructor(limits: NetworkLimits, signal: AbortSignal | undefined, onRetry?: OnRetry) {
    this.#limits = limits;
    this.#signal = signal;
    this.#onRetry = onRetry;
  }

  /** Waits before the next try. @throws the error itself when it will not pass, or has not passed too often */
  async after(error: unknown): Promise<void> {
    this.#signal?.throwIfAborted();
    this.#failures++;
    // Who cannot be connected to is given up at once, unless he was there a moment ago: then he may be starting anew.
    const mayPass = isTransient(error) || (this.#wasReached && isUnreachable(error));
    if (!mayPass || this.#failures >= this.#limits.attempts) throw error;
    this.#wasReached = true;
    const asked = error instanceof HttpFailure ? retryAfterMs(error.retryAfter) : undefined;
    const { backoffMs, longestWaitMs } = this.#limits;
    const own = backoffMs * 2 ** (this.#failures - 1) * (0.5 + Math.random() / 2);
    const wait = Math.min(Math.max(own, asked ?? 0), longestWaitMs);
    const retry = { attempt: this.#failures + 1, reason: reasonOf(error), waitMs: Math.round(wait) };
    log("warn", "registry", `${retry.reason}; try ${retry.attempt} in ${retry.waitMs} ms`);
    this.#onRetry?.(retry);
    await sleep(wait, undefined, this.#signal === undefined ? {} : { signal: this.#signal });
  }

  /** Something was achieved meanwhile. */
  reset(): void {
    this.#failures = 0;
  }
}

/** Tries until it succeeds or there is no hope. */
export async function retrying<T>(
  limits: NetworkLimits,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  const backoff = new Backoff(limits, signal);
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      await backoff.after(error);
    }
  }
}

/** `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. `undefined` when it is neither. */
export function retryAfterMs(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(date - now, 0);
}
