import { describe, expect, test } from "vitest";
import { bytesText, cpuPart, percentText, secondsText, sinceText } from "../../src/cli/quantities.js";

const stats = (time: string, cpuMs: number | undefined, since = "2026-01-01T00:00:00Z") => ({
  ...{ time, since, cpuMs, guestMemoryBytes: 0 },
});

describe("the processor time of a VM", () => {
  test("is a part of one processor since its start, or since the last look", () => {
    const first = stats("2026-01-01T00:00:10Z", 5_000);
    expect(cpuPart(first)).toBe(0.5);
    expect(cpuPart(stats("2026-01-01T00:00:12Z", 8_000), first)).toBe(1.5);
  });

  test("begins anew when the VM was started again, and is unknown where it cannot be measured", () => {
    const first = stats("2026-01-01T00:00:10Z", 5_000);
    expect(cpuPart(stats("2026-01-01T00:01:10Z", 1_000, "2026-01-01T00:01:00Z"), first)).toBe(0.1);
    expect(cpuPart(undefined)).toBeUndefined();
    expect(cpuPart(stats("2026-01-01T00:00:10Z", undefined))).toBeUndefined();
  });
});

test("what is unknown is a dash", () => {
  expect([bytesText(undefined), percentText(undefined), percentText(Number.NaN)]).toEqual(["-", "-", "-"]);
  expect([bytesText(1_572_864), percentText(0.125)]).toEqual(["1.5 MiB", "12.5%"]);
});

test.each([
  [0, "0.0 s"],
  [59_900, "59.9 s"],
  [61_000, "1:01 min"],
  [3_600_000, "60:00 min"],
])("%i ms are %s", (ms, text) => {
  expect(secondsText(ms)).toBe(text);
});

test.each([
  [5, "5 s"],
  [119, "119 s"],
  [120, "2 min"],
  [7_200, "2 h"],
  [200_000, "2 d"],
  [-5, "0 s"],
])("%i s ago is %s", (seconds, text) => {
  expect(sinceText(new Date(1e12 - seconds * 1_000).toISOString(), 1e12)).toBe(text);
});
