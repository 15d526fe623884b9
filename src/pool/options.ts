import { UsageError } from "../errors.js";

/** How a pool behaves. */
export interface PoolOptions {
  /** So many are kept idle and ready, whatever is in use. 0 by default: then the first acquire after a quiet time waits for a restore. */
  min?: number | undefined;
  /** More than so many never exist at a time. 64 by default. */
  max?: number | undefined;
  /** What idles beyond `min` for so many milliseconds is ended. 60,000 by default. */
  idleTimeoutMs?: number | undefined;
  /** How many milliseconds an acquire waits, 60,000 by default; `Infinity` for no limit. */
  acquireTimeoutMs?: number | undefined;
  /**
   * Whether a released one is replaced by a clean one, as it is by default. With `false` it is lent again as the last user left it: page
   * cache, files and processes included.
   */
  restoreOnRelease?: boolean | undefined;
  /**
   * Whether what makes the next one quicker (for microVMs a spare, a started hypervisor process) is also kept while the pool holds nothing
   * and nobody waits; false by default.
   */
  keepSpare?: boolean | undefined;
  /** One in use that shows no sign of life for so many milliseconds is ended; by default none is. */
  livenessTimeoutMs?: number | undefined;
}

/** The options with their defaults. */
export interface PoolSettings {
  min: number;
  max: number;
  idleTimeoutMs: number;
  acquireTimeoutMs: number;
  restoreOnRelease: boolean;
  keepSpare: boolean;
  livenessTimeoutMs: number | undefined;
}

const TIMES = { idleTimeoutMs: 60_000, acquireTimeoutMs: 60_000 };
const DEFAULTS = { min: 0, max: 64, ...TIMES, restoreOnRelease: true, keepSpare: false };
/** Node's timers fire at once when they are given more. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const MOST = 65_536;

/** @throws UsageError that names the option and its value */
export function poolSettings(options: PoolOptions): PoolSettings {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as PoolOptions;
  const settings = { ...DEFAULTS, livenessTimeoutMs: undefined, ...given } as PoolSettings;
  checkNumber("max", settings.max, 1, MOST);
  checkNumber("min", settings.min, 0, settings.max);
  checkNumber("idleTimeoutMs", settings.idleTimeoutMs, 0, Number.POSITIVE_INFINITY, "milliseconds");
  checkTimeout("acquireTimeoutMs", settings.acquireTimeoutMs);
  if (settings.livenessTimeoutMs !== undefined) {
    checkNumber("livenessTimeoutMs", settings.livenessTimeoutMs, 100, LONGEST_TIMER_MS, "milliseconds");
  }
  for (const name of ["restoreOnRelease", "keepSpare"] as const) {
    if (typeof settings[name] !== "boolean")
      throw new UsageError(`${name} is ${String(settings[name])}; it is true or false`);
  }
  return settings;
}

/** @throws UsageError when this is no time to wait */
export function checkTimeout(name: string, value: number): void {
  checkNumber(name, value, 0, Number.POSITIVE_INFINITY, "milliseconds");
}

/** A timer that never fires where the time is longer than Node can count, such as `Infinity`. */
export function startTimer(callback: () => void, ms: number): NodeJS.Timeout | undefined {
  return ms > LONGEST_TIMER_MS ? undefined : setTimeout(callback, ms);
}

function checkNumber(name: string, value: unknown, least: number, most: number, unit = "a whole number"): void {
  const whole = unit === "milliseconds" || Number.isInteger(value);
  if (typeof value === "number" && whole && value >= least && value <= most) return;
  throw new UsageError(
    `${name} is ${String(value)}; it is ${unit === "milliseconds" ? "a number of milliseconds" : unit} from ${least} to ${most}`,
  );
}
