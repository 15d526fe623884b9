import { Latencies } from "./demand.js";

/** A restore may be hit by an accident. So many failures in a row are none, and callers are told. */
const FAILURES_UNTIL_TOLD = 3;
const BACKOFF_MS = { first: 100, most: 30_000 };

/** What is told of what was begun. */
export interface Making<T> {
  create(signal: AbortSignal): Promise<T>;
  /** One is there; `unwanted` when it came although it had been given up. */
  made(resource: T, unwanted: boolean): void;
  /** `lasting` when it is no accident any more. */
  failed(error: unknown, lasting: boolean): void;
  /** One is done with, whether it succeeded, failed or was given up. */
  settled(): void;
}

/** Makes resources, several at a time where that is asked for, and knows how that went of late. */
export class Maker<T> {
  readonly latencies = new Latencies();
  readonly #making: Making<T>;
  readonly #running = new Map<AbortController, Promise<void>>();
  #failuresInRow = 0;
  #lastFailure: unknown;
  #notBefore = 0;

  constructor(making: Making<T>) {
    this.#making = making;
  }

  /** How many are being made. */
  get busy(): number {
    return this.#running.size;
  }

  /** After a failure: before this time nothing should be begun that nobody waits for. */
  get notBefore(): number {
    return this.#notBefore;
  }

  /** The error of the latest attempt, if it failed. */
  get lastFailure(): unknown {
    return this.#failuresInRow > 0 ? this.#lastFailure : undefined;
  }

  start(): void {
    const abort = new AbortController();
    this.#running.set(abort, this.#make(abort));
  }

  /** Gives up the latest beyond `count`. */
  keep(count: number): void {
    for (const abort of [...this.#running.keys()].slice(count)) abort.abort();
  }

  /** Resolves when nothing is being made any more. */
  async done(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  async #make(abort: AbortController): Promise<void> {
    const began = performance.now();
    try {
      const resource = await this.#making.create(abort.signal);
      this.#running.delete(abort);
      this.#succeeded(performance.now() - began);
      this.#making.made(resource, abort.signal.aborted);
    } catch (error) {
      this.#running.delete(abort);
      if (!abort.signal.aborted) this.#failed(error);
    }
    this.#making.settled();
  }

  #succeeded(tookMs: number): void {
    this.#failuresInRow = 0;
    this.#notBefore = 0;
    this.latencies.add(tookMs);
  }

  #failed(error: unknown): void {
    this.#failuresInRow++;
    this.#lastFailure = error;
    const waitMs = Math.min(BACKOFF_MS.first * 2 ** this.#failuresInRow, BACKOFF_MS.most);
    this.#notBefore = performance.now() + waitMs;
    this.#making.failed(error, this.#failuresInRow >= FAILURES_UNTIL_TOLD);
  }
}
