import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { sanitizedParserTest } from "./agent-under-test.js";

test("the agent's parsers stay within what they are given, good, damaged or random", () => {
  expect(execFileSync(sanitizedParserTest(), { encoding: "utf8" })).toBe("ok\n");
}, 120_000);
