import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.js";
import { formatPlatform, parsePlatform } from "../../src/oci/index.js";

describe("a platform's text", () => {
  it.each([
    ["linux/amd64", "linux/amd64"],
    ["linux/arm64/v8", "linux/arm64/v8"],
    ["Linux/ARM/v7", "linux/arm/v7"],
    ["arm64", "linux/arm64"],
    ["x86_64", "linux/amd64"],
    ["linux/aarch64", "linux/arm64"],
    ["windows/amd64", "windows/amd64"],
  ])("%s is %s", (text, expected) => {
    expect(formatPlatform(parsePlatform(text))).toBe(expected);
  });

  it.each(["", "/", "linux/", "/amd64", "linux/arm/v7/x", "linux/arm/", "linux/a b", "linux/amd64\n"])(
    "%j is none",
    (text) => {
      expect(() => parsePlatform(text)).toThrow(UsageError);
    },
  );
});
