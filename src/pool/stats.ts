import { PoolExhaustedError } from "../errors.js";
import type { Latency } from "./demand.js";

/** What a pool holds and has done. */
export interface PoolStats {
  /** Made and not ended: idle, in use, or being looked at before they are lent again. */
  alive: number;
  /** Ready to be lent. */
  idle: number;
  inUse: number;
  /** Callers that wait for one. */
  waiting: number;
  /** Being restored. */
  starting: number;
  min: number;
  max: number;
  /** How many were restored so far. */
  restores: number;
  /** How many could not be restored, ended by themselves or did not answer so far. */
  failures: number;
  /** How long the latest acquires took, in milliseconds; nothing before the first. */
  acquireMs: Latency | undefined;
  /** How long the latest restores took, in milliseconds; nothing before the first. */
  restoreMs: Latency | undefined;
}

/** The error for a caller who has waited `timeoutMs` in vain. */
export function exhausted(
  timeoutMs: number,
  stats: PoolStats,
  obstacle: string | undefined,
  cause: unknown,
): PoolExhaustedError {
  const { inUse, idle, starting, waiting, max } = stats;
  const figures = `${inUse} of at most ${max} are in use, ${idle} idle, ${starting} starting; ${waiting} callers wait`;
  const why = obstacle === undefined ? "" : `\n  ${obstacle}`;
  return new PoolExhaustedError(`nothing became free within ${timeoutMs} ms: ${figures}${why}`, {
    stats,
    hint: "Release what is not needed any more, wait longer (acquireTimeoutMs), or raise the limit.",
    cause,
  });
}
