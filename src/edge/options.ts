import { UsageError } from "../errors.js";

/** How a service behaves. */
export interface ServiceOptions {
  /** How many workers serve it, each a microVM; 1 by default. */
  workers?: number | undefined;
  /**
   * After so many milliseconds without a request or open connection all workers are stopped; the next request starts them again. By
   * default they stay.
   */
  idleTimeoutMs?: number | undefined;
  /** How many requests a worker is given before it has begun to answer them; 64 by default. What is more waits. */
  concurrency?: number | undefined;
  /** How many requests may wait for a worker, 1,024 by default; what is more is answered with 503. */
  queueLimit?: number | undefined;
  /** How many milliseconds a request may wait for a worker, 60,000 by default; then it is answered with 503. */
  queueTimeoutMs?: number | undefined;
  /** How many milliseconds a worker may take to begin its answer, 120,000 by default; then 504 is. */
  answerTimeoutMs?: number | undefined;
}

/** The options with their defaults. */
export type ServiceSettings = { [K in keyof Required<ServiceOptions>]: number };

/** Connections to one worker, those that stream or were upgraded included; what a guest's link can bear is 4,096. */
export const WORKER_CONNECTIONS = 1_024;

const DEFAULTS: ServiceSettings = {
  workers: 1,
  idleTimeoutMs: Number.POSITIVE_INFINITY,
  concurrency: 64,
  queueLimit: 1_024,
  queueTimeoutMs: 60_000,
  answerTimeoutMs: 120_000,
};
const LIMITS: Record<keyof ServiceSettings, [least: number, most: number]> = {
  workers: [1, 256],
  idleTimeoutMs: [1, Number.POSITIVE_INFINITY],
  concurrency: [1, WORKER_CONNECTIONS],
  queueLimit: [0, 65_536],
  queueTimeoutMs: [1, 86_400_000],
  answerTimeoutMs: [1, 86_400_000],
};

/** @throws UsageError that names the option and its value */
export function serviceSettings(options: ServiceOptions): ServiceSettings {
  const settings = { ...DEFAULTS };
  for (const [name, [least, most]] of Object.entries(LIMITS) as [keyof ServiceSettings, [number, number]][]) {
    const value = options[name];
    if (value === undefined) continue;
    const whole = name.endsWith("Ms") ? !Number.isNaN(value) : Number.isInteger(value);
    if (!whole || value < least || value > most)
      throw new UsageError(`${name} is ${value}; it is a number from ${least} to ${most}`);
    settings[name] = value;
  }
  return settings;
}
