import { availableParallelism } from "node:os";
import { PoolClosedError } from "../errors.js";
import { Demand, Latencies } from "./demand.js";
import { watch } from "./heartbeat.js";
import type { AcquireOptions, Held, Lease, State } from "./lease.js";
import { Maker } from "./maker.js";
import { checkTimeout, type PoolOptions, type PoolSettings, poolSettings, startTimer } from "./options.js";
import { refillTime } from "./refill-time.js";
import type { PoolSource } from "./source.js";
import { exhausted, type PoolStats } from "./stats.js";
import { Waiters } from "./waiters.js";

/** An idle one is asked every quarter of this, and replaced when it has not answered for the rest. */
const IDLE_LIMIT_MS = 20_000;
/** For waiting callers; more at once would only make the first of them wait longer. */
const PARALLEL = Math.max(2, availableParallelism());

/**
 * Keeps resources ready that take a while to make, lends each to one user at a time, and replaces what was used. Knows nothing
 * of what they are.
 */
export class ResourcePool<T> implements AsyncDisposable {
  readonly #source: PoolSource<T>;
  readonly #settings: PoolSettings;
  readonly #held = new Set<Held<T>>();
  /** The last one is the next to be lent: it is the most likely to be in caches still. */
  #idle: Held<T>[] = [];
  readonly #maker: Maker<T>;
  readonly #waiters = new Waiters<Lease<T>>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #demand: Demand;
  readonly #acquires = new Latencies();
  #restored = 0;
  #failures = 0;
  #refillTimer: NodeJS.Timeout | undefined;
  /** Since when fewer are ready than are wanted. */
  #missingSince: number | undefined;
  #evictTimer: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  /** @throws UsageError */
  constructor(source: PoolSource<T>, options: PoolOptions = {}) {
    this.#source = source;
    this.#settings = poolSettings(options);
    this.#demand = new Demand(this.#settings.idleTimeoutMs);
    this.#maker = new Maker({
      create: (signal) => source.create(signal),
      made: (resource, unwanted) => this.#arrived(resource, unwanted),
      failed: (error, lasting) => this.#failed(error, lasting),
      settled: () => this.balance(),
    });
    this.balance();
  }

  /**
   * Gives an idle one at once, else waits for one that is made or given back; callers are served in the order in which they came.
   * @throws PoolExhaustedError when the time is over, PoolClosedError, the reason of an aborted signal, or, when none can be made
   * several times in a row, the error of that
   */
  async acquire(options: AcquireOptions = {}): Promise<Lease<T>> {
    const { timeoutMs = this.#settings.acquireTimeoutMs, signal } = options;
    checkTimeout("timeoutMs", timeoutMs);
    signal?.throwIfAborted();
    if (this.#closed) throw new PoolClosedError("the pool is closed");
    const since = performance.now();
    this.#demand.acquired(since);
    const ready = this.#idle.pop() ?? this.#inState("warming")[0];
    if (ready) {
      const lease = this.#lend(ready, since);
      this.balance();
      return lease;
    }
    const late = () => exhausted(timeoutMs, this.stats(), this.#source.obstacle(), this.#maker.lastFailure);
    const served = this.#waiters.wait(since, { timeoutMs, signal, late, left: () => this.#startLess() });
    this.balance();
    return served;
  }

  stats(): PoolStats {
    const { min, max } = this.#settings;
    const [warming, inUse] = [this.#inState("warming").length, this.#inState("lent").length];
    return {
      alive: this.#held.size - this.#inState("ending").length,
      idle: this.#idle.length,
      inUse,
      waiting: this.#waiters.size,
      starting: this.#maker.busy + warming,
      min,
      max,
      restores: this.#restored,
      failures: this.#failures,
      acquireMs: this.#acquires.summary(),
      restoreMs: this.#maker.latencies.summary(),
    };
  }

  /** Ends the one that has idled longest, for whoever needs its place more. @returns whether there was one */
  reclaim(): boolean {
    const oldest = this.#idle.shift() ?? this.#inState("warming")[0];
    if (oldest) this.#end(oldest);
    return oldest !== undefined;
  }

  /** Refuses callers from now on, also those that wait, and ends everything, also what is in use. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Starts what is missing. To be called when an obstacle has gone. */
  balance(): void {
    if (this.#closed) return;
    const urgent = Math.min(this.#waiters.size - this.#inState("returning").length, PARALLEL);
    while (this.#maker.busy < urgent && this.#hasRoom()) this.#maker.start();
    if (this.#maker.busy < urgent && this.#source.obstacle()) this.#source.makeRoom();
    if (this.#waiters.size === 0) this.#refillSoon();
    this.#evictLater();
    const { min, keepSpare } = this.#settings;
    this.#source.active(keepSpare || this.#held.size + this.#maker.busy + this.#waiters.size + min > 0);
  }

  #hasRoom(): boolean {
    return this.#held.size + this.#maker.busy < this.#settings.max && this.#source.obstacle() === undefined;
  }

  #inState(state: State): Held<T>[] {
    return [...this.#held].filter((each) => each.state === state);
  }

  // --- what is kept ready ---

  /** As many as were in use of late and may be wanted again, or as will be asked for while one is being made. */
  #idleTarget(now: number): number {
    const again = this.#demand.peak(now) - this.#inState("lent").length;
    const meanwhile = this.#demand.within(this.#maker.latencies.summary()?.p95 ?? 0, now);
    return Math.max(this.#settings.min, again, meanwhile);
  }

  #missing(): number {
    const coming = this.#maker.busy + this.#inState("warming").length + this.#inState("returning").length;
    return this.#idleTarget(performance.now()) - this.#idle.length - coming;
  }

  /** In the background, and one at a time while anyone is at work. */
  #refillSoon(): void {
    clearTimeout(this.#refillTimer);
    const now = performance.now();
    this.#missingSince = this.#missing() > 0 ? (this.#missingSince ?? now) : undefined;
    const busy = this.#maker.busy + this.#inState("warming").length;
    const atOnce = this.#inState("lent").length > 0 ? 1 : PARALLEL;
    if (this.#missingSince === undefined || busy >= atOnce || !this.#hasRoom()) return;
    const lentSince = this.#inState("lent").map(({ since }) => since);
    const at = Math.max(refillTime(this.#missingSince, lentSince), this.#maker.notBefore);
    this.#refillTimer = setTimeout(() => {
      if (this.#missing() > 0 && this.#hasRoom()) this.#maker.start();
      this.balance();
    }, at - now).unref();
  }

  #arrived(resource: T, unwanted: boolean): void {
    const held: Held<T> = { resource, state: "warming", since: 0, unwatch: () => undefined };
    this.#held.add(held);
    this.#restored++;
    void this.#source.ended(resource).then((failure) => this.#lost(held, failure));
    const waiter = this.#waiters.first();
    if (unwanted) this.#end(held);
    else if (waiter) waiter.resolve(this.#lend(held, waiter.since));
    else this.#run(this.#warm(held));
  }

  async #warm(held: Held<T>): Promise<void> {
    this.#source.hold(held.resource, false);
    await this.#source.warm(held.resource).catch((error: unknown) => {
      if (held.state === "warming") this.#lost(held, error);
    });
    if (held.state === "warming") this.#rest(held);
    this.balance();
  }

  #failed(error: unknown, lasting: boolean): void {
    this.#failures++;
    if (lasting) this.#waiters.first()?.reject(error);
  }

  /** Callers have gone: what was begun for them is given up. */
  #startLess(): void {
    const wanted = this.#waiters.size + Math.max(0, this.#missing() + this.#maker.busy);
    this.#maker.keep(wanted);
  }

  // --- lending and giving back ---

  #lend(held: Held<T>, since: number): Lease<T> {
    held.unwatch();
    [held.state, held.since] = ["lent", performance.now()];
    const { livenessTimeoutMs } = this.#settings;
    const ask = () => this.#source.ping(held.resource);
    if (livenessTimeoutMs) held.unwatch = watch(ask, livenessTimeoutMs, (reason) => this.#lost(held, reason));
    this.#source.hold(held.resource, true);
    this.#acquires.add(performance.now() - since);
    let released = false;
    const release = () => {
      if (!released) this.#takeBack(held);
      released = true;
    };
    return { resource: held.resource, release };
  }

  #takeBack(held: Held<T>): void {
    if (held.state !== "lent") return;
    this.#demand.used(this.#inState("lent").length, performance.now());
    if (this.#settings.restoreOnRelease) this.#end(held);
    else this.#run(this.#lookAt(held));
    this.balance();
  }

  /** What was used before is lent again only if it can still serve. */
  async #lookAt(held: Held<T>): Promise<void> {
    held.unwatch();
    held.state = "returning";
    await this.#source.check(held.resource).catch((error: unknown) => this.#lost(held, error));
    if (held.state !== "returning") return;
    const waiter = this.#waiters.first();
    if (waiter) {
      waiter.resolve(this.#lend(held, waiter.since));
    } else {
      this.#source.hold(held.resource, false);
      this.#rest(held);
    }
    this.balance();
  }

  #rest(held: Held<T>): void {
    [held.state, held.since] = ["idle", performance.now()];
    held.unwatch = watch(
      () => this.#source.check(held.resource),
      IDLE_LIMIT_MS,
      (reason) => this.#lost(held, reason),
    );
    this.#idle.push(held);
  }

  // --- ends ---

  /** It ended by itself, was ended by its user (then there is no failure), or is of no more use. */
  #lost(held: Held<T>, failure: unknown): void {
    if (held.state === "ending") return;
    if (failure !== undefined) this.#failures++;
    if (held.state === "lent") this.#demand.used(this.#inState("lent").length, performance.now());
    this.#end(held, failure instanceof Error ? failure : undefined);
    this.balance();
  }

  #end(held: Held<T>, reason?: Error): void {
    held.unwatch();
    held.state = "ending";
    this.#idle = this.#idle.filter((each) => each !== held);
    const ended = this.#source.destroy(held.resource, reason).then(() => {
      this.#held.delete(held);
      this.balance();
    });
    this.#run(ended);
  }

  /** What idles longer than it should and is more than is wanted. */
  #evictLater(): void {
    const { idleTimeoutMs, min } = this.#settings;
    const [oldest] = this.#idle;
    if (this.#evictTimer || !oldest || this.#idle.length <= min) return;
    const inMs = oldest.since + idleTimeoutMs - performance.now();
    // What is kept although its time is over is looked at again now and then.
    const nextMs = inMs > 0 ? inMs : Math.max(100, idleTimeoutMs / 4);
    this.#evictTimer = startTimer(() => this.#evict(), nextMs)?.unref();
  }

  #evict(): void {
    this.#evictTimer = undefined;
    const now = performance.now();
    let surplus = this.#idle.length - this.#idleTarget(now);
    for (const held of [...this.#idle]) {
      if (surplus-- <= 0 || now - held.since < this.#settings.idleTimeoutMs) break;
      this.#end(held);
    }
    this.#evictLater();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#refillTimer);
    clearTimeout(this.#evictTimer);
    for (let waiter = this.#waiters.first(); waiter; waiter = this.#waiters.first()) {
      waiter.reject(new PoolClosedError("the pool was closed while a caller waited for it"));
    }
    this.#maker.keep(0);
    for (const held of this.#held) if (held.state !== "ending") this.#end(held);
    await this.#maker.done();
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    this.#source.active(false);
  }

  #run(task: Promise<void>): void {
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }
}
