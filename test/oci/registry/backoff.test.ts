import { describe, expect, it } from "vitest";
import { retryAfterMs, retrying } from "../../../src/oci/registry/backoff.js";
import { DEFAULT_LIMITS } from "../../../src/oci/registry/index.js";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const LIMITS = { ...DEFAULT_LIMITS, backoffMs: 1, attempts: 4 };

function failing(code: string, times: number): { tries: () => number; attempt: () => Promise<string> } {
  let tries = 0;
  return {
    tries: () => tries,
    attempt: async () => {
      if (++tries <= times) throw Object.assign(new Error("broken"), { code });
      return "done";
    },
  };
}

describe("Retry-After", () => {
  it.each([
    [undefined, undefined],
    ["", undefined],
    ["soon", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["99999999999", undefined],
    ["0", 0],
    [" 7 ", 7_000],
    ["Thu, 01 Jan 2026 00:00:09 GMT", 9_000],
    ["Thu, 01 Jan 2025 00:00:00 GMT", 0],
  ])("%j is %j ms", (header, expected) => {
    // A number that is no count of seconds may still be read as a year; it is then in the past.
    expect(retryAfterMs(header, NOW) || 0).toBe(expected ?? 0);
  });
});

describe("trying again", () => {
  it.each(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"])(
    "helps against %s",
    async (code) => {
      const { attempt, tries } = failing(code, 3);
      expect(await retrying(LIMITS, undefined, attempt)).toBe("done");
      expect(tries()).toBe(4);
    },
  );

  it.each(["ECONNREFUSED", "ENOTFOUND", "CERT_HAS_EXPIRED", "UND_ERR_CONNECT_TIMEOUT", "ERR_SUPERMACHINE_IMAGE"])(
    "is not done for %s",
    async (code) => {
      const { attempt, tries } = failing(code, 1);
      await expect(retrying(LIMITS, undefined, attempt)).rejects.toThrow("broken");
      expect(tries()).toBe(1);
    },
  );

  it("helps against a refused connection to who was there a moment ago", async () => {
    const codes = ["ECONNRESET", "ECONNREFUSED", "UND_ERR_CONNECT_TIMEOUT"];
    const attempt = async () => {
      const code = codes.shift();
      if (code !== undefined) throw Object.assign(new Error("broken"), { code });
      return "done";
    };
    expect(await retrying(LIMITS, undefined, attempt)).toBe("done");
  });

  it("has an end", async () => {
    const { attempt, tries } = failing("ECONNRESET", 99);
    await expect(retrying(LIMITS, undefined, attempt)).rejects.toThrow("broken");
    expect(tries()).toBe(4);
  });

  it("is not waited for when it is no longer wanted", async () => {
    const stop = new AbortController();
    const { attempt } = failing("ECONNRESET", 99);
    const trying = retrying({ ...LIMITS, backoffMs: 3_600_000, longestWaitMs: 3_600_000 }, stop.signal, attempt);
    setImmediate(() => stop.abort());
    await expect(trying).rejects.toThrow(/abort/i);
  });
});
