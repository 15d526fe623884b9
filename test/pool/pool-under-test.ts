import { afterEach, beforeEach, expect, vi } from "vitest";
import { type PoolOptions, ResourcePool } from "../../src/pool/index.js";
import { FakeSource, type Thing } from "./fake-source.js";

/** What the pool of the running test makes its things with. */
export let source: FakeSource;
/** The pool of the running test, once it is opened. */
export let pool: ResourcePool<Thing>;

/** Has each test of a file start with a source of its own and a clock that stands still, and end with nothing left. */
export function eachWithPool(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    source = new FakeSource();
  });
  afterEach(async () => {
    const closed = pool.close();
    await later(60_000);
    await closed;
    expect(source.alive).toEqual([]);
    expect(source.creating).toBe(0);
    vi.useRealTimers();
  });
}

export function open(options: PoolOptions = {}): void {
  pool = new ResourcePool(source, options);
}

/** Lets time pass. */
export async function later(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}
