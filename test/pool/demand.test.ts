import { describe, expect, test } from "vitest";
import { Demand, Latencies } from "../../src/pool/demand.js";

describe("latencies", () => {
  test("are summed up by rank", () => {
    const latencies = new Latencies();
    expect(latencies.summary()).toBeUndefined();
    for (const ms of [30, 10, 20]) latencies.add(ms);
    expect(latencies.summary()).toEqual({ p50: 20, p95: 30 });
  });

  test("forget what is long past", () => {
    const latencies = new Latencies();
    for (let i = 0; i < 1_000; i++) latencies.add(i < 700 ? 1_000 : 1);
    expect(latencies.summary()).toEqual({ p50: 1, p95: 1 });
  });
});

describe("demand", () => {
  test("is as many at a time as were in use of late", () => {
    const demand = new Demand(1_000);
    demand.used(2, 0);
    demand.used(5, 100);
    demand.used(4, 200);
    demand.used(1, 300);
    expect([1_000, 1_099, 1_150, 1_250, 1_350].map((now) => demand.peak(now))).toEqual([5, 5, 4, 1, 0]);
  });

  test("within a time is as the rate of the last second", () => {
    const demand = new Demand(1_000);
    expect(demand.within(1_000, 0)).toBe(0);
    demand.acquired(0);
    expect(demand.within(1_000, 0)).toBe(0);
    for (let at = 100; at <= 1_000; at += 100) demand.acquired(at);
    expect([demand.within(200, 1_000), demand.within(50, 1_000)]).toEqual([2, 1]);
    expect(demand.within(1_000, 5_000)).toBe(0);
  });
});
