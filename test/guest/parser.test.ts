import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { sanitizedTest } from "./agent-under-test.js";

test("the agent's parsers stay within what they are given, good, damaged or random", () => {
  const program = sanitizedTest("parse-test", /\/(wire|packet|request\w*)\.c$/);
  expect(execFileSync(program, { encoding: "utf8" })).toBe("ok\n");
}, 120_000);
