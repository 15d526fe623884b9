import { Worker } from "./worker.js";
import type { WorkerSource } from "./worker-source.js";

const BACKOFF_MS = { first: 100, most: 30_000 };
/** One that served for so long was well. */
const WELL_AFTER_MS = 10_000;
/** So many workers that end at once, one after the other, are no accident. */
const LOSSES_UNTIL_TROUBLE = 3;

/** What is told of a crew. */
export interface CrewEvents {
  /** A worker can be given requests. */
  ready(): void;
  /** No worker is there, and none can be expected soon: {@link Crew.trouble} says why. */
  trouble(error: Error): void;
  /** A worker ended by itself, or could not be started. */
  lost(error: Error): void;
}

/** Keeps as many workers as are wanted, and replaces those that end. */
export class Crew {
  readonly #source: WorkerSource;
  readonly #answerTimeoutMs: number;
  readonly #events: CrewEvents;
  readonly #ready = new Set<Worker>();
  readonly #starting = new Map<AbortController, Promise<void>>();
  /** Workers that are being ended, and starts that were given up. */
  readonly #stopping = new Set<Promise<void>>();
  #wanted = 0;
  #nextId = 1;
  #failuresInRow = 0;
  #notBefore = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Why there is none and will not be one soon. */
  trouble: Error | undefined;

  constructor(source: WorkerSource, answerTimeoutMs: number, events: CrewEvents) {
    this.#source = source;
    this.#answerTimeoutMs = answerTimeoutMs;
    this.#events = events;
  }

  get ready(): ReadonlySet<Worker> {
    return this.#ready;
  }

  get starting(): number {
    return this.#starting.size;
  }

  get wanted(): number {
    return this.#wanted;
  }

  /** In how many seconds the next start is tried; at least 1. */
  get retryAfter(): number {
    return Math.max(1, Math.ceil((this.#notBefore - performance.now()) / 1_000));
  }

  /** Has so many workers from now on; 0 stops those that there are, and resolves when nothing is left of them. */
  async want(count: number): Promise<void> {
    this.#wanted = count;
    this.#fill();
    if (count > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [abort, started] of this.#starting) {
      abort.abort(new Error("no worker is needed any more"));
      // The next ones need not wait for its end.
      this.#starting.delete(abort);
      this.#untilStopped(started);
    }
    for (const worker of this.#ready) this.#stop(worker, new Error("the service stops"));
    await Promise.all(this.#stopping);
  }

  #fill(): void {
    if (this.#timer) return;
    const delayMs = this.#notBefore - performance.now();
    const missing = this.#wanted - this.#ready.size - this.#starting.size;
    if (missing <= 0) return;
    if (delayMs <= 0) {
      // Whoever waits for the first one waits less when it starts alone.
      const atOnce = this.#ready.size > 0 ? missing : 1 - this.#starting.size;
      for (let i = 0; i < atOnce; i++) this.#start();
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#fill();
    }, delayMs);
  }

  #start(): void {
    const abort = new AbortController();
    const started = this.#startOne(abort.signal).then(
      (worker) => {
        this.#starting.delete(abort);
        if (worker) this.#arrived(worker);
      },
      (error: unknown) => {
        this.#starting.delete(abort);
        if (!abort.signal.aborted) this.#failed(error instanceof Error ? error : new Error(String(error)), true);
      },
    );
    this.#starting.set(abort, started);
  }

  /** Nothing when it is not wanted any more. */
  async #startOne(signal: AbortSignal): Promise<Worker | undefined> {
    const upstream = await this.#source.start(signal);
    const worker = await Worker.open(this.#nextId++, upstream, this.#answerTimeoutMs);
    if (!signal.aborted) return worker;
    await worker.stop(new Error("the service stops"));
    return undefined;
  }

  #arrived(worker: Worker): void {
    this.#ready.add(worker);
    this.trouble = undefined;
    void worker.ended.then((error) => this.#lost(worker, error ?? new Error("the worker ended")));
    this.#events.ready();
    this.#fill();
  }

  #lost(worker: Worker, error: Error): void {
    if (worker.stopping) return;
    this.#stop(worker, error);
    if (worker.upMs > WELL_AFTER_MS) this.#failuresInRow = 0;
    this.#failed(error, false);
  }

  #failed(error: Error, atStart: boolean): void {
    const delayMs = Math.min(BACKOFF_MS.first * 2 ** this.#failuresInRow, BACKOFF_MS.most);
    this.#failuresInRow++;
    // One that served, and ended for the first time, is replaced at once.
    this.#notBefore = performance.now() + (atStart || this.#failuresInRow > 1 ? delayMs : 0);
    this.#events.lost(error);
    const lasting = atStart || this.#failuresInRow >= LOSSES_UNTIL_TROUBLE;
    if (lasting && this.#ready.size === 0 && this.#starting.size === 0) {
      this.trouble = error;
      this.#events.trouble(error);
    }
    this.#fill();
  }

  #stop(worker: Worker, reason: Error): void {
    this.#ready.delete(worker);
    this.#untilStopped(worker.stop(reason));
  }

  #untilStopped(stopped: Promise<void>): void {
    this.#stopping.add(stopped);
    void stopped.finally(() => this.#stopping.delete(stopped));
  }
}
