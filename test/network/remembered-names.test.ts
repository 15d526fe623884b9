import { expect, test } from "vitest";
import { RememberedNames } from "../../src/network/remembered-names.js";
import { TokenBucket } from "../../src/network/token-bucket.js";

test("names are remembered for an hour, or as long as they live", () => {
  let now = 0;
  const names = new RememberedNames(() => now);
  names.add("short.example", "1.1.1.1", 5);
  names.add("long.example", "1.1.1.1", 7_200);
  expect(names.of("1.1.1.1")).toEqual(["short.example", "long.example"]);
  now = 3_600_000;
  expect(names.of("1.1.1.1")).toEqual(["long.example"]);
  now = 7_200_000;
  expect(names.of("1.1.1.1")).toEqual([]);
  expect(names.of("2.2.2.2")).toEqual([]);
});

test("a guest that asks for more and more names fills no memory: the oldest are forgotten", () => {
  const names = new RememberedNames(() => 0);
  for (let i = 0; i < 10_000; i++) names.add(`n${i}.example`, `10.0.${i >> 8}.${i & 255}`, 60);
  for (let i = 0; i < 100; i++) names.add(`n${i}.example`, "1.1.1.1", 60);
  expect(names.of("10.0.0.0")).toEqual([]);
  expect(names.of("10.0.39.15")).toEqual(["n9999.example"]);
  expect(names.of("1.1.1.1")).toHaveLength(16);
});

test("a bucket gives its burst and then its rate", () => {
  let now = 0;
  const bucket = new TokenBucket(10, 3, () => now);
  expect([1, 2, 3, 4].map(() => bucket.take(1))).toEqual([true, true, true, false]);
  now = 100;
  expect([1, 2].map(() => bucket.take(1))).toEqual([true, false]);
  now = 10_000;
  expect([1, 2, 3, 4].map(() => bucket.take(1))).toEqual([true, true, true, false]);
});

test("a bucket that is charged for more than it has says how long to wait", () => {
  let now = 0;
  const bucket = new TokenBucket(1_000, 100, () => now);
  expect(bucket.charge(100)).toBe(0);
  expect(bucket.charge(50)).toBe(50);
  expect(bucket.charge(50)).toBe(100);
  now = 200;
  expect(bucket.charge(100)).toBe(0);
});
