import { UsageError } from "../errors.js";

/** When a workload that ended is started again, in a VM that is restored anew. */
export interface RestartPolicy {
  /** `on-failure`: when its exit code was not 0. `always` and `unless-stopped` mean the same here: until it is stopped. */
  when: "no" | "on-failure" | "always" | "unless-stopped";
  /** For `on-failure`: how often at most in a row; by default without end. */
  most?: number | undefined;
}

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
/** A workload that ran for so long was well: the next failure is the first again. */
const WELL_AFTER_MS = 10_000;

/** Parses docker's notation: `no`, `on-failure`, `on-failure:3`, `always`, `unless-stopped`. @throws UsageError */
export function parseRestartPolicy(text: string): RestartPolicy {
  const match = /^(no|always|unless-stopped|on-failure)(?::(\d{1,6}))?$/.exec(text);
  const when = match?.[1] as RestartPolicy["when"] | undefined;
  if (when && match?.[2] === undefined) return { when };
  if (when === "on-failure") return { when, most: Number(match?.[2]) };
  throw new UsageError(`${JSON.stringify(text)} is no restart policy`, {
    hint: "It is no, on-failure, on-failure:TIMES, always or unless-stopped.",
  });
}

/** Counts restarts and says how long to wait for the next one. */
export class Restarts {
  readonly #policy: RestartPolicy;
  #inARow = 0;
  /** How often the workload was started again. */
  count = 0;

  constructor(policy: RestartPolicy) {
    this.#policy = policy;
  }

  /** What to do about a workload that ended: milliseconds to wait before it is started again, `undefined` to let it be. */
  next(exitCode: number, ranMs: number): number | undefined {
    if (ranMs >= WELL_AFTER_MS) this.#inARow = 0;
    const { when, most = Number.POSITIVE_INFINITY } = this.#policy;
    if (when === "no" || (when === "on-failure" && (exitCode === 0 || this.#inARow >= most))) return undefined;
    const delay = Math.min(FIRST_DELAY_MS * 2 ** this.#inARow, LONGEST_DELAY_MS);
    this.#inARow++;
    this.count++;
    return delay;
  }
}
