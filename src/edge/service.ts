import { EventEmitter, once } from "node:events";
import { Crew } from "./crew.js";
import { type ServiceOptions, type ServiceSettings, serviceSettings, WORKER_CONNECTIONS } from "./options.js";
import { Problem } from "./problem.js";
import { Queue } from "./queue.js";
import type { Worker, WorkerHealth } from "./worker.js";
import type { WorkerSource } from "./worker-source.js";

/** Node's timers fire at once when they are given more. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * `ready`: all workers are there; `degraded`: some; `starting`: none yet; `failing`: none, and the last start failed; `asleep`: none, the
 * next request starts them; `closed`.
 */
export type ServiceState = "ready" | "degraded" | "starting" | "failing" | "asleep" | "closed";

/** What `/_health` shows of a service. */
export interface ServiceHealth {
  name: string;
  state: ServiceState;
  /** How many workers it is to have when it is awake. */
  wanted: number;
  starting: number;
  workers: WorkerHealth[];
  queue: { waiting: number; limit: number };
  /** Workers that ended by themselves, or could not be started, so far. */
  lost: number;
  /** Why the last of these did. */
  lastError?: string;
}

/** What a request holds of a worker. */
export class Slot {
  readonly worker: Worker;
  readonly #freed: () => void;
  #answered = false;
  #released = false;

  constructor(worker: Worker, freed: () => void) {
    this.worker = worker;
    this.#freed = freed;
    worker.active++;
    worker.unanswered++;
    worker.requests++;
  }

  /** The answer has begun. */
  answered(): void {
    if (this.#answered) return;
    this.#answered = true;
    this.worker.unanswered--;
    this.#freed();
  }

  /** The exchange is over. More than once is harmless. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.worker.active--;
    this.answered();
    this.#freed();
  }
}

/** One name with the workers that serve it: gives each request to the least busy, or lets it wait. */
export class Service {
  readonly name: string;
  readonly #settings: ServiceSettings;
  readonly #source: WorkerSource;
  readonly #crew: Crew;
  readonly #queue = new Queue<Slot>();
  readonly #readiness = new Queue<true>();
  readonly #freed = new EventEmitter();
  #turn = 0;
  #lost = 0;
  #lastError: Error | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @throws UsageError */
  constructor(name: string, source: WorkerSource, options: ServiceOptions = {}) {
    this.name = name;
    this.#source = source;
    this.#settings = serviceSettings(options);
    this.#crew = new Crew(source, this.#settings.answerTimeoutMs, {
      ready: () => {
        this.#readiness.serve(() => true);
        this.#serve();
      },
      trouble: (error) => {
        this.#queue.rejectAll(this.#noWorker(error));
        this.#readiness.rejectAll(error);
        this.#sleepLater();
      },
      lost: (error) => {
        this.#lost++;
        this.#lastError = error;
      },
    });
  }

  /** Starts the workers, if they are not there. */
  wake(): void {
    if (this.#closed || this.#crew.wanted > 0) return;
    void this.#crew.want(this.#settings.workers);
    this.#sleepLater();
  }

  /** Resolves once a worker is ready. @throws VmError when none can be started, or the reason of the signal */
  async untilReady(signal: AbortSignal): Promise<void> {
    this.wake();
    if (this.#crew.trouble) throw this.#crew.trouble;
    if (this.#crew.ready.size === 0) await this.#readiness.wait(LONGEST_TIMER_MS, () => this.#late(), signal);
  }

  /** A worker for a request, at once if one has room: the one with the fewest requests, and if there is a choice not `avoid`. */
  take(avoid?: Worker): Slot | undefined {
    if (this.#queue.size > 0) return undefined;
    return this.#pick(avoid);
  }

  /** Waits for one. @throws Problem when there is none in time, or the reason of the signal */
  async wait(signal: AbortSignal): Promise<Slot> {
    if (this.#closed) throw this.#ending();
    this.wake();
    clearTimeout(this.#idleTimer);
    if (this.#crew.trouble) throw this.#noWorker(this.#crew.trouble);
    const { queueLimit, queueTimeoutMs } = this.#settings;
    if (this.#queue.size >= queueLimit) {
      throw new Problem(503, "queue_full", `${queueLimit} requests wait for ${this.name} already`, 1);
    }
    try {
      return await this.#queue.wait(queueTimeoutMs, () => this.#late(), signal);
    } finally {
      this.#sleepLater();
    }
  }

  get state(): ServiceState {
    const { ready, wanted, trouble } = this.#crew;
    if (this.#closed) return "closed";
    if (wanted === 0) return "asleep";
    if (ready.size >= wanted) return "ready";
    if (ready.size > 0) return "degraded";
    return trouble ? "failing" : "starting";
  }

  health(): ServiceHealth {
    return {
      name: this.name,
      state: this.state,
      wanted: this.#settings.workers,
      starting: this.#crew.starting,
      workers: [...this.#crew.ready].map((worker) => worker.health()),
      queue: { waiting: this.#queue.size, limit: this.#settings.queueLimit },
      lost: this.#lost,
      ...(this.#lastError && { lastError: this.#lastError.message }),
    };
  }

  /** Requests that it has, those that wait included. */
  get active(): number {
    return [...this.#crew.ready].reduce((sum, { active }) => sum + active, this.#queue.size);
  }

  /** Resolves when it has no request. */
  async whenIdle(): Promise<void> {
    while (this.active > 0) await once(this.#freed, "freed");
  }

  /** Takes no more requests, and ends the workers with what they are at. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      clearTimeout(this.#idleTimer);
      this.#queue.rejectAll(this.#ending());
      this.#readiness.rejectAll(this.#ending());
    }
    await this.#crew.want(0);
    await this.#source.close();
  }

  #pick(avoid?: Worker): Slot | undefined {
    let best: Worker | undefined;
    const ready = [...this.#crew.ready];
    // Those that are equally busy take turns.
    const first = this.#turn++ % Math.max(1, ready.length);
    for (const worker of [...ready.slice(first), ...ready.slice(0, first)]) {
      if (worker.unanswered >= this.#settings.concurrency || worker.active >= WORKER_CONNECTIONS) continue;
      if (!best || best === avoid || (worker !== avoid && worker.active < best.active)) best = worker;
    }
    if (!best || this.#closed) return undefined;
    clearTimeout(this.#idleTimer);
    return new Slot(best, () => this.#serve());
  }

  #serve(): void {
    this.#freed.emit("freed");
    this.#queue.serve(() => this.#pick());
    this.#sleepLater();
  }

  #sleepLater(): void {
    const { idleTimeoutMs } = this.#settings;
    if (this.#closed || idleTimeoutMs > LONGEST_TIMER_MS || !this.#isIdle) return;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      if (this.#isIdle) void this.#crew.want(0);
    }, idleTimeoutMs).unref();
  }

  /** A start that takes longer than the service may be idle has to come to its end: somebody wanted it. */
  get #isIdle(): boolean {
    return this.active === 0 && this.state !== "starting";
  }

  #noWorker(error: Error): Problem {
    const reason = `no worker of ${this.name} can be started: ${error.message}`;
    return new Problem(503, "no_worker", reason, this.#crew.retryAfter);
  }

  #ending(): Problem {
    return new Problem(503, "closing", `${this.name} is being stopped`, 1);
  }

  #late(): Problem {
    const { queueTimeoutMs, workers } = this.#settings;
    const { ready } = this.#crew;
    const why = ready.size === 0 ? "none is ready" : `${ready.size} of ${workers} are ready, and busy`;
    return new Problem(
      503,
      "queue_timeout",
      `no worker of ${this.name} was free within ${queueTimeoutMs} ms: ${why}`,
      1,
    );
  }
}
