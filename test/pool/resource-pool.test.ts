import { describe, expect, test } from "vitest";
import { PoolExhaustedError, UsageError } from "../../src/errors.js";
import { type AcquireOptions, type Lease, type PoolOptions, ResourcePool } from "../../src/pool/index.js";
import type { Thing } from "./fake-source.js";
import { eachWithPool, later, open, pool, source } from "./pool-under-test.js";

eachWithPool();

/** Acquires, and keeps what becomes of it. */
function ask(options: AcquireOptions = {}) {
  const asked: { lease?: Lease<Thing>; error?: unknown } = {};
  pool.acquire(options).then(
    (lease) => {
      asked.lease = lease;
    },
    (error: unknown) => {
      asked.error = error;
    },
  );
  return asked;
}

async function acquire(options: AcquireOptions = {}): Promise<Lease<Thing>> {
  const asked = ask(options);
  await later(source.createMs);
  if (!asked.lease) throw new Error(`nothing was lent: ${asked.error}`);
  return asked.lease;
}

describe("a pool", () => {
  test("keeps nothing unless it is told to", async () => {
    open();
    await later(60_000);
    expect(source.things).toEqual([]);
    expect(source.isActive).toBe(false);
  });

  test("is ready for the next one while it holds nothing, if it is told to, until it is closed", async () => {
    open({ keepSpare: true });
    expect(source.isActive).toBe(true);
    (await acquire()).release();
    await later(120_000);
    expect([source.alive, source.isActive]).toEqual([[], true]);
    await pool.close();
    expect(source.isActive).toBe(false);
  });

  test("keeps `min` ready in advance, which do not hold the process", async () => {
    open({ min: 3 });
    await later(2_000);
    expect(pool.stats()).toMatchObject({ alive: 3, idle: 3, inUse: 0, starting: 0, restores: 3, min: 3, max: 64 });
    expect(source.things.map(({ held }) => held)).toEqual([false, false, false]);
    expect(source.isActive).toBe(true);
  });

  test("gives an idle one in the same turn, the latest first", async () => {
    open({ min: 3 });
    await later(2_000);
    const before = performance.now();
    const [one, two] = [await pool.acquire(), await pool.acquire()];
    expect(performance.now()).toBe(before);
    expect([one.resource, two.resource]).toEqual([source.things[2], source.things[1]]);
    expect(one.resource.held).toBe(true);
    expect(pool.stats()).toMatchObject({ inUse: 2, idle: 1 });
  });

  test("gives one that is being warmed up rather than let anyone wait", async () => {
    open({ min: 1 });
    await later(20 + source.createMs + 1);
    expect(pool.stats()).toMatchObject({ idle: 0, starting: 1, alive: 1 });
    const { resource } = await pool.acquire();
    await later(1_000);
    expect(resource).toBe(source.things[0]);
    expect(pool.stats()).toMatchObject({ inUse: 1, idle: 1, failures: 0 });
  });

  test("replaces what was used by a clean one, off the caller's path", async () => {
    open({ min: 1 });
    await later(1_000);
    const lease = await pool.acquire();
    lease.release();
    expect(lease.resource.state).toBe("ending");
    await later(1_000);
    expect(lease.resource.state).toBe("gone");
    const next = await pool.acquire();
    expect(next.resource).not.toBe(lease.resource);
    expect(pool.stats().failures).toBe(0);
  });

  test("leaves the processors to who has just got one before it replaces that", async () => {
    open({ min: 2 });
    await later(2_000);
    const lease = await pool.acquire();
    await later(99);
    expect(source.creating).toBe(0);
    await later(1);
    expect(source.creating).toBe(1);
    await later(1_000);
    const short = await pool.acquire();
    await later(30);
    short.release();
    await later(1);
    expect(source.creating).toBe(1);
    lease.release();
  });

  test("does not leave them to a stream of callers for long", async () => {
    open({ min: 8 });
    await later(5_000);
    for (let i = 0; i < 4; i++) {
      expect(source.creating).toBe(0);
      await pool.acquire();
      await later(60);
    }
    await later(10);
    expect(source.creating).toBe(1);
  });

  test("lends it again as it is where that was asked for", async () => {
    open({ restoreOnRelease: false });
    const lease = await acquire();
    lease.release();
    await later(1);
    expect(pool.stats()).toMatchObject({ alive: 1, idle: 1, inUse: 0 });
    expect(lease.resource.held).toBe(false);
    const again = await pool.acquire();
    expect(again.resource).toBe(lease.resource);
    // The former user has nothing to say any more.
    lease.release();
    expect(pool.stats()).toMatchObject({ inUse: 1 });
    expect(source.things).toHaveLength(1);
  });

  test("takes a release twice without harm", async () => {
    open();
    const lease = await acquire();
    lease.release();
    lease.release();
    await later(1_000);
    expect(pool.stats()).toMatchObject({ inUse: 0, idle: 1, restores: 2 });
  });

  test.each<[PoolOptions, RegExp]>([
    [{ min: -1 }, /min is -1; it is a whole number from 0 to 64/],
    [{ min: 9, max: 8 }, /min is 9; it is a whole number from 0 to 8/],
    [{ max: 0 }, /max is 0/],
    [{ max: 1.5 }, /max is 1.5/],
    [{ idleTimeoutMs: Number.NaN }, /idleTimeoutMs is NaN; it is a number of milliseconds/],
    [{ acquireTimeoutMs: -1 }, /acquireTimeoutMs is -1/],
    [{ livenessTimeoutMs: 1 }, /livenessTimeoutMs is 1/],
    [{ restoreOnRelease: "no" as unknown as boolean }, /restoreOnRelease is no; it is true or false/],
  ])("refuses the options %j", (options, message) => {
    open();
    expect(() => new ResourcePool(source, options)).toThrow(UsageError);
    expect(() => new ResourcePool(source, options)).toThrow(message);
  });
});

describe("a burst", () => {
  test("grows the pool to `max` and no further, a few at a time, and everyone is served", async () => {
    open({ max: 5 });
    const asked = Array.from({ length: 50 }, () => ask());
    for (let served = 0; served < 50; ) {
      await later(source.createMs + source.destroyMs);
      for (const { lease } of asked) if (lease?.resource.state === "alive") lease.release();
      served = asked.filter(({ lease }) => lease).length;
    }
    expect(source.most).toBe(5);
    expect(source.mostCreating).toBeLessThan(5);
    expect(asked.map(({ lease }) => lease?.resource.id)).toEqual(asked.map((_, i) => i));
  });

  test("leaves as many ready as were in use, until they have idled too long", async () => {
    open({ min: 1, idleTimeoutMs: 10_000 });
    await later(1_000);
    const leases = await Promise.all([acquire(), acquire(), acquire(), acquire()]);
    await later(2_000);
    for (const lease of leases) lease.release();
    await later(3_000);
    expect(pool.stats()).toMatchObject({ idle: 4, inUse: 0 });
    await later(30_000);
    expect(pool.stats()).toMatchObject({ idle: 1, alive: 1 });
  });

  test("is served with one in reserve while it goes on", async () => {
    open();
    source.createMs = 200;
    (await acquire()).release();
    let waited = 0;
    for (let i = 0; i < 30; i++) {
      const before = performance.now();
      const asked = ask();
      while (!asked.lease) await later(10);
      if (i > 5) waited = Math.max(waited, performance.now() - before);
      await later(300);
      asked.lease.release();
    }
    expect(waited).toBeLessThanOrEqual(10);
  });
});

describe("callers that wait", () => {
  test("are served in the order in which they came", async () => {
    open({ max: 1 });
    const first = await acquire();
    const asked = [ask(), ask(), ask()];
    const order: number[] = [];
    first.release();
    for (let i = 0; i < 3; i++) {
      await later(200);
      order.push(asked.findIndex(({ lease }) => lease?.resource.state === "alive"));
      asked[i]?.lease?.release();
    }
    expect(order).toEqual([0, 1, 2]);
  });

  test("get one that is given back as it is", async () => {
    open({ max: 1, restoreOnRelease: false });
    const first = await acquire();
    const second = ask();
    first.release();
    await later(0);
    expect(second.lease?.resource).toBe(first.resource);
    expect(first.resource.held).toBe(true);
  });

  test("are told the figures when their time is over, and leave nothing behind", async () => {
    open({ max: 2, acquireTimeoutMs: 500 });
    const leases = [await acquire(), await acquire()];
    const [late, patient] = [ask(), ask({ timeoutMs: 2_000 })];
    await later(500);
    expect(late.error).toBeInstanceOf(PoolExhaustedError);
    expect(late.error).toMatchObject({
      code: "ERR_SUPERMACHINE_POOL_EXHAUSTED",
      stats: { inUse: 2, max: 2, waiting: 2, idle: 0 },
    });
    expect(String(late.error)).toContain("nothing became free within 500 ms: 2 of at most 2 are in use");
    leases[0]?.release();
    await later(300);
    expect(patient.lease).toBeDefined();
  });

  test("wait for ever when they want to", async () => {
    open({ max: 1, acquireTimeoutMs: Number.POSITIVE_INFINITY });
    const first = await acquire();
    const patient = ask();
    await later(10 * 24 * 3_600_000);
    expect(patient).toEqual({});
    first.release();
    await later(1_000);
    expect(patient.lease).toBeDefined();
  });

  test("that give up do not take the turn of others, and what was begun for them is given up", async () => {
    open();
    const controller = new AbortController();
    const asked = ask({ signal: controller.signal });
    await later(50);
    expect(source.creating).toBe(1);
    controller.abort(new Error("enough"));
    await later(0);
    expect(asked.error).toMatchObject({ message: "enough" });
    expect([source.creating, source.aborted]).toEqual([0, 1]);
    await later(10_000);
    expect(source.things).toEqual([]);
    expect(pool.stats()).toMatchObject({ alive: 0, waiting: 0, starting: 0, failures: 0 });
    expect(source.isActive).toBe(false);
  });

  test("that give up leave to others what is still wanted", async () => {
    open({ max: 1 });
    const controller = new AbortController();
    const [gone, stays] = [ask({ signal: controller.signal }), ask()];
    await later(50);
    controller.abort(new Error("enough"));
    await later(50);
    expect(gone.error).toBeDefined();
    expect(stays.lease?.resource).toBe(source.things[0]);
    expect(source.aborted).toBe(0);
  });

  test("whose signal had aborted begin nothing", async () => {
    open();
    const asked = ask({ signal: AbortSignal.abort(new Error("enough")) });
    await later(0);
    expect(asked.error).toMatchObject({ message: "enough" });
    expect(source.creating).toBe(0);
  });

  test("that abort after they were served keep what they have", async () => {
    open();
    const controller = new AbortController();
    const lease = await acquire({ signal: controller.signal });
    controller.abort();
    await later(1_000);
    expect(lease.resource.state).toBe("alive");
  });
});
