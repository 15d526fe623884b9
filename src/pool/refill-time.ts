/** Making a process takes milliseconds of this thread: first the caller gets to use what was lent. */
const LEAST_MS = 20;
/** Most uses are over by then. */
const AFTER_LENDING_MS = 100;
/** Or a stream of callers would find nothing in the end. */
const MOST_MS = 250;

/**
 * When what is missing in reserve since `missingSince` may be made. That takes processors from those who were lent one a moment ago (at
 * `lentSince`, what was given back meanwhile left out), so they come first for a while.
 */
export function refillTime(missingSince: number, lentSince: readonly number[]): number {
  const polite = Math.max(missingSince + LEAST_MS, ...lentSince.map((since) => since + AFTER_LENDING_MS));
  return Math.min(polite, missingSince + MOST_MS);
}
