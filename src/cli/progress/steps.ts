import type { ProgressEvent, ProgressPhase } from "../../index.js";

const LABELS: Record<Exclude<ProgressPhase, "layer">, string> = {
  setup: "setup",
  accelerator: "accelerator",
  fetch: "fetching",
  template: "booting template",
  bake: "baking",
  "warm-up": "warming up",
  pack: "packing",
  push: "pushing",
  save: "saving",
  bundle: "bundling",
  verify: "verifying",
};
/** As many hex digits of a layer's digest as docker shows. */
const DIGITS = 12;
/** A rate forgets what was this long ago. */
const MEMORY_MS = 4_000;
const LEAST_SAMPLE_MS = 400;

/** One thing that is being done. */
export interface Step {
  label: string;
  event: ProgressEvent;
  /** When it began to advance, in milliseconds of `performance.now()`. */
  startedAt: number;
  rate: Rate;
  /** How often it has been begun. */
  tries: number;
}

/** What layers of an image came to so far. */
export interface LayerTotals {
  count: number;
  finished: number;
  present: number;
  /** Bytes of blobs, without those of layers that were there already. */
  done: number;
  total: number;
  startedAt: number;
  rate: Rate;
}

/** Keeps together what events say: which steps run, and what the layers come to. */
export class Steps {
  readonly #steps = new Map<string, Step>();
  readonly #layers = new Map<string, ProgressEvent>();
  #layersStartedAt = 0;
  #layersRate = new Rate();

  /** Takes an event. A step that was not known before is `isNew`; one that is finished is no longer among the running. */
  update(event: ProgressEvent): { step: Step; isNew: boolean } {
    const key = `${event.phase} ${event.item}`;
    const known = this.#steps.get(key);
    const step = known ?? { label: labelOf(event), event, startedAt: performance.now(), rate: new Rate(), tries: 1 };
    if (step.event.state === "waiting") step.startedAt = performance.now();
    step.event = event;
    step.tries = event.retry?.attempt ?? step.tries;
    if (event.phase === "layer") this.#note(event);
    if (event.finished) this.#steps.delete(key);
    else this.#steps.set(key, step);
    return { step, isNew: known === undefined };
  }

  /** Steps that are busy with something, in the order in which they began; layers that wait for their turn are not. */
  get running(): Step[] {
    return [...this.#steps.values()].filter(({ event }) => event.state !== "waiting");
  }

  get layers(): LayerTotals {
    const events = [...this.#layers.values()];
    const present = events.filter(({ state }) => state === "present");
    const fetched = events.filter(({ state }) => state !== "present");
    const sum = (of: (event: ProgressEvent) => number | undefined) =>
      fetched.reduce((total, event) => total + (of(event) ?? 0), 0);
    return {
      count: events.length,
      finished: events.filter(({ finished }) => finished).length,
      present: present.length,
      done: sum(({ done }) => done),
      total: sum(({ total }) => total),
      startedAt: this.#layersStartedAt,
      rate: this.#layersRate,
    };
  }

  /** Begins a new count of layers, as when another image follows. */
  forgetLayers(): void {
    this.#layers.clear();
    this.#layersRate = new Rate();
  }

  #note(event: ProgressEvent): void {
    if (this.#layers.size === 0) this.#layersStartedAt = performance.now();
    this.#layers.set(event.item, event);
  }
}

/** Bytes a second, by what happened lately. */
export class Rate {
  #bytes = 0;
  #at: number | undefined;
  #value: number | undefined;

  /** Says how far it has come. Gives bytes a second, `undefined` while that is not known. */
  sample(bytes: number, now = performance.now()): number | undefined {
    if (this.#at === undefined) {
      this.#at = now;
      this.#bytes = bytes;
      return undefined;
    }
    const elapsed = now - this.#at;
    if (elapsed < LEAST_SAMPLE_MS) return this.#value;
    const current = (Math.max(0, bytes - this.#bytes) / elapsed) * 1000;
    const weight = 1 - Math.exp(-elapsed / MEMORY_MS);
    this.#value = this.#value === undefined ? current : this.#value + weight * (current - this.#value);
    this.#at = now;
    this.#bytes = bytes;
    return this.#value;
  }
}

function labelOf({ phase, item }: ProgressEvent): string {
  const digest = /^sha\d+:([0-9a-f]+)$/.exec(item)?.[1];
  const name = digest === undefined ? item : digest.slice(0, DIGITS);
  return phase === "layer" ? name : `${LABELS[phase]} ${name}`;
}
