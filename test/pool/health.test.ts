import { describe, expect, test, vi } from "vitest";
import { PoolClosedError, PoolExhaustedError } from "../../src/errors.js";
import type { Lease } from "../../src/pool/index.js";
import type { Thing } from "./fake-source.js";
import { eachWithPool, later, open, pool, source } from "./pool-under-test.js";

eachWithPool();
const acquire = async (): Promise<Lease<Thing>> => {
  const acquiring = pool.acquire();
  await later(source.createMs);
  return acquiring;
};

describe("one that ends by itself", () => {
  test("while it idles is replaced at once", async () => {
    open({ min: 1 });
    await later(1_000);
    source.things[0]?.end(new Error("killed"));
    await later(0);
    expect(pool.stats()).toMatchObject({ idle: 0, failures: 1 });
    await later(1_000);
    expect(pool.stats()).toMatchObject({ idle: 1, alive: 1, restores: 2 });
  });

  test("while it is warmed up is replaced", async () => {
    open({ min: 1 });
    await later(20 + source.createMs + 1);
    source.things[0]?.end(new Error("killed"));
    await later(1_000);
    expect(pool.stats()).toMatchObject({ idle: 1, alive: 1, failures: 1 });
  });

  test("while it is in use makes room, and its release means nothing", async () => {
    open({ max: 1 });
    const lease = await acquire();
    lease.resource.end(new Error("killed"));
    await later(0);
    expect(pool.stats()).toMatchObject({ inUse: 0, failures: 1 });
    const next = await acquire();
    lease.release();
    expect(next.resource.state).toBe("alive");
    expect(pool.stats()).toMatchObject({ inUse: 1 });
  });

  test("because its user ended it is no failure", async () => {
    open();
    const lease = await acquire();
    lease.resource.end();
    await later(0);
    expect(pool.stats()).toMatchObject({ inUse: 0, failures: 0 });
  });
});

describe("one that does not answer", () => {
  test("while it idles is replaced within 20 s", async () => {
    open({ min: 2 });
    await later(1_000);
    const [silent, other] = source.things;
    if (silent) silent.answers = false;
    await later(20_000);
    expect([silent?.state, other?.state]).toEqual(["gone", "alive"]);
    expect(silent?.reason?.message).toBe("no answer for 20000 ms");
    await later(1_000);
    expect(pool.stats()).toMatchObject({ idle: 2, failures: 1 });
  });

  test("while it is in use is ended within the time that was given, and not before a late answer", async () => {
    open({ livenessTimeoutMs: 4_000 });
    const lease = await acquire();
    await later(60_000);
    expect(lease.resource.state).toBe("alive");
    lease.resource.answers = false;
    await later(4_000);
    expect(lease.resource.state).not.toBe("alive");
    expect(lease.resource.reason?.message).toBe("no answer for 4000 ms");
    expect(pool.stats()).toMatchObject({ inUse: 0, failures: 1 });
  });

  test("while it is in use is left alone by default", async () => {
    open();
    const lease = await acquire();
    lease.resource.answers = false;
    await later(600_000);
    expect(lease.resource.state).toBe("alive");
  });

  test("is not lent again to those who take what was used", async () => {
    open({ restoreOnRelease: false });
    const lease = await acquire();
    lease.resource.spent = true;
    lease.release();
    await later(1_000);
    expect(lease.resource.state).toBe("gone");
    const next = await acquire();
    expect(next.resource).not.toBe(lease.resource);
  });

  test("is not blamed for a host that stood still", async () => {
    open({ livenessTimeoutMs: 4_000 });
    const lease = await acquire();
    let answer = (): void => undefined;
    vi.spyOn(source, "ping").mockImplementation(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    await later(1_000);
    // However long nothing ran: only one tick comes before the answer that had long been there.
    await later(1_000);
    answer();
    await later(2_000);
    expect(lease.resource.state).toBe("alive");
  });
});

describe("a restore that fails", () => {
  const broken = () => new Error("broken snapshot");

  test("once or twice is tried again without the caller's knowing", async () => {
    source.failures = [broken(), broken()];
    open();
    const acquiring = pool.acquire();
    await later(3 * source.createMs);
    expect((await acquiring).resource).toBe(source.things[0]);
    expect(pool.stats()).toMatchObject({ failures: 2, restores: 1 });
  });

  test("again and again is told to everyone who waits", async () => {
    source.failures = Array.from({ length: 100 }, broken);
    open();
    const asked = [pool.acquire(), pool.acquire(), pool.acquire()].map((each) => each.catch((error: unknown) => error));
    await later(20 * source.createMs);
    for (const error of await Promise.all(asked)) expect(error).toMatchObject({ message: "broken snapshot" });
    expect(pool.stats()).toMatchObject({ waiting: 0 });
  });

  test("in the background is tried again ever more seldom, and works once it is mended", async () => {
    source.failures = Array.from({ length: 1_000 }, broken);
    open({ min: 1 });
    await later(60_000);
    const tried = 1_000 - source.failures.length;
    expect(tried).toBeGreaterThan(3);
    expect(tried).toBeLessThan(15);
    source.failures = [];
    await later(31_000);
    expect(pool.stats()).toMatchObject({ idle: 1 });
  });
});

describe("an obstacle", () => {
  test("keeps callers waiting until it is gone, and is named when their time is over", async () => {
    source.blocked = "The limit is 100.";
    open({ min: 1, acquireTimeoutMs: 500 });
    const late = pool.acquire().catch((error: unknown) => error);
    await later(500);
    expect(await late).toBeInstanceOf(PoolExhaustedError);
    expect(String(await late)).toContain("The limit is 100.");
    expect(source.roomAsked).toBeGreaterThan(0);
    const patient = pool.acquire();
    source.blocked = undefined;
    pool.balance();
    await later(source.createMs);
    expect((await patient).resource).toBe(source.things[0]);
  });

  test("of another pool is answered by giving up what idles, the longest idle first", async () => {
    open({ min: 2 });
    await later(1_000);
    source.blocked = "The limit is 100.";
    expect(pool.reclaim()).toBe(true);
    await later(1_000);
    expect(source.things.map(({ state }) => state)).toEqual(["gone", "alive"]);
    expect(pool.reclaim()).toBe(true);
    expect(pool.reclaim()).toBe(false);
  });
});

describe("the end of a pool", () => {
  test("refuses callers, those that wait too, and ends all, also what is in use or being made", async () => {
    open({ min: 1, max: 3 });
    await later(1_000);
    const [lease] = [await acquire(), await acquire()];
    await acquire();
    const waiting = pool.acquire().catch((error: unknown) => error);
    const closing = pool.close();
    await expect(pool.acquire()).rejects.toThrow(PoolClosedError);
    await later(1_000);
    await closing;
    expect(await waiting).toBeInstanceOf(PoolClosedError);
    expect(source.alive).toEqual([]);
    lease.release();
    await pool.close();
    expect(pool.stats()).toMatchObject({ alive: 0, inUse: 0, idle: 0, waiting: 0, starting: 0 });
    expect(source.isActive).toBe(false);
  });

  test("gives up what is being made", async () => {
    open();
    const waiting = pool.acquire().catch((error: unknown) => error);
    await later(50);
    const closing = pool.close();
    await later(0);
    await closing;
    expect(await waiting).toBeInstanceOf(PoolClosedError);
    expect([source.aborted, source.things.length]).toEqual([1, 0]);
  });

  test("comes with the scope that it was opened in", async () => {
    open({ min: 1 });
    await later(1_000);
    const disposing = pool[Symbol.asyncDispose]();
    await later(100);
    await disposing;
    expect(source.alive).toEqual([]);
  });
});
