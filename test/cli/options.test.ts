import { InvalidArgumentError } from "commander";
import { describe, expect, test } from "vitest";
import { collect, memoryMiB, wholeNumber } from "../../src/cli/options.js";

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
