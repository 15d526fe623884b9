import prettyBytes from "pretty-bytes";
import type { Retry } from "../../index.js";
import type { LayerTotals, Step } from "./steps.js";

/** `62.3 MB of 134 MB`. */
export function amount(done: number, total: number): string {
  return `${prettyBytes(done)} of ${prettyBytes(total)}`;
}

export function rateText(bytesPerSecond: number): string {
  return `${prettyBytes(Math.round(bytesPerSecond))}/s`;
}

/** `4.2 s`, `1 min 5 s`, `2 h 5 min`: of what has been. */
export function elapsed(ms: number): string {
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : about(ms);
}

/** `4 s`, `1 min 5 s`, `2 h 5 min`: of what will be. */
export function about(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** How long it will still take, `undefined` when nobody can tell. */
export function remaining(done: number, total: number, bytesPerSecond: number | undefined): string | undefined {
  if (!bytesPerSecond || done >= total) return undefined;
  const ms = ((total - done) / bytesPerSecond) * 1000;
  return ms < 100 * 3600_000 ? about(ms) : undefined;
}

export function retryText({ reason, attempt, waitMs }: Retry): string {
  return `${reason}; try ${attempt} in ${elapsed(waitMs)}`;
}

/** What a finished step leaves: `done in 2.3 s`, or how many bytes that were. */
export function result({ event, startedAt }: Step, now = performance.now()): string {
  const took = now - startedAt;
  const { total } = event;
  if (!total) return `done in ${elapsed(took)}`;
  return `${prettyBytes(total)} in ${elapsed(took)} (${rateText((total / Math.max(took, 1)) * 1000)})`;
}

/** What all layers came to. */
export function summary({ count, present, total, startedAt }: LayerTotals, now = performance.now()): string {
  const layers = (n: number) => `${n} ${n === 1 ? "layer" : "layers"}`;
  if (present === count) return `${layers(count)}: ${count === 1 ? "exists" : "all exist"} already`;
  const made = `${layers(count - present)}: ${prettyBytes(total)} in ${elapsed(now - startedAt)}`;
  return present === 0 ? made : `${made}; ${present} ${present === 1 ? "exists" : "exist"} already`;
}
