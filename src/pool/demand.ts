/** The latest so many samples tell how long things take. */
const SAMPLES = 256;
/** Over so long the rate of acquires is taken. */
const RATE_WINDOW_MS = 1_000;

/** Latencies of late: in milliseconds, 50 % and 95 % are not above `p50` and `p95`. */
export interface Latency {
  p50: number;
  p95: number;
}

/** The latest samples of a latency. */
export class Latencies {
  readonly #samples: number[] = [];
  #next = 0;

  add(ms: number): void {
    this.#samples[this.#next] = ms;
    this.#next = (this.#next + 1) % SAMPLES;
  }

  /** Nothing before the first sample. */
  summary(): Latency | undefined {
    if (this.#samples.length === 0) return undefined;
    const sorted = [...this.#samples].sort((a, b) => a - b);
    const rank = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
    return { p50: rank(0.5), p95: rank(0.95) };
  }
}

/** Foretells from the recent past how many will be wanted. */
export class Demand {
  readonly #windowMs: number;
  #acquires: number[] = [];
  /** How many were in use at a time, and when that ended: falling, for the greatest of the window is what counts. */
  #peaks: { until: number; inUse: number }[] = [];

  /** @param windowMs how long a number in use is remembered */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** One was asked for. */
  acquired(now: number): void {
    this.#acquires.push(now);
    this.#acquires = this.#acquires.filter((at) => at > now - RATE_WINDOW_MS).slice(-SAMPLES);
  }

  /** So many were in use until now. */
  used(inUse: number, now: number): void {
    this.#peaks = [...this.#peaks.filter((peak) => peak.inUse > inUse), { until: now, inUse }];
  }

  /** The most that were in use at a time of late. */
  peak(now: number): number {
    this.#peaks = this.#peaks.filter(({ until }) => until > now - this.#windowMs);
    return this.#peaks[0]?.inUse ?? 0;
  }

  /** How many acquires will come within `ms`, at the present rate. A single one says nothing of the next. */
  within(ms: number, now: number): number {
    const intervals = this.#acquires.filter((at) => at > now - RATE_WINDOW_MS).length - 1;
    return Math.ceil((Math.max(0, intervals) / RATE_WINDOW_MS) * ms);
  }
}
