import { InvalidArgumentError } from "commander";
import { describe, expect, test } from "vitest";
import { collect, goDuration, memoryMiB, moment, portNumber, wholeNumber } from "../../src/cli/options.js";

describe("an amount of memory", () => {
  test.each([
    ["512", 512],
    ["512M", 512],
    ["512m", 512],
    ["512MB", 512],
    ["512MiB", 512],
    ["2G", 2048],
    ["2g", 2048],
    ["2GiB", 2048],
    ["2gib", 2048],
    ["0", 0],
  ])("%s is %i MiB", (text, mib) => {
    expect(memoryMiB(text)).toBe(mib);
  });

  test.each(["", "M", "1.5G", "-1", "+1", "1T", "1K", "1 G", "1Gi B", "0x10", "1e3", "1GG", "9999999999", "１"])(
    "%j is none",
    (text) => {
      expect(() => memoryMiB(text)).toThrow(InvalidArgumentError);
    },
  );
});

describe("a whole number", () => {
  test.each([
    ["0", 0],
    ["007", 7],
    ["999999999", 999_999_999],
  ])("%s is %i", (text, number) => {
    expect(wholeNumber(text)).toBe(number);
  });

  test.each(["", "-1", "1.0", "1e2", " 1", "1 ", "0x1", "1000000000", "two"])("%j is none", (text) => {
    expect(() => wholeNumber(text)).toThrow(InvalidArgumentError);
  });
});

test("an option that may be given several times keeps all of them, in order", () => {
  const former = collect("a");
  expect(collect("b", former)).toEqual(["a", "b"]);
  expect(former).toEqual(["a"]);
});

describe("a length of time as docker writes it", () => {
  test.each([
    ["500ms", 500],
    ["30s", 30_000],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["0s", 0],
  ])("%s is %i ms", (text, ms) => {
    expect(goDuration(text)).toBe(ms);
  });

  test.each(["", "5", "s", "-1s", "1d", "1s ", "1s2", "1.s", "1s,2m"])("%j is none", (text) => {
    expect(() => goDuration(text)).toThrow(InvalidArgumentError);
  });
});

test("a moment is a time or an age", () => {
  expect(moment("2026-11-21T10:00:00Z").toISOString()).toBe("2026-11-21T10:00:00.000Z");
  expect(Date.now() - moment("10m").getTime()).toBeGreaterThanOrEqual(600_000);
  for (const text of ["", "yesterday", "10", "10y"]) expect(() => moment(text)).toThrow(InvalidArgumentError);
});

test("a port is a number from 1 to 65535", () => {
  expect([portNumber("1"), portNumber("65535")]).toEqual([1, 65_535]);
  for (const text of ["0", "65536", "http", "-1", ""]) expect(() => portNumber(text)).toThrow(InvalidArgumentError);
});
