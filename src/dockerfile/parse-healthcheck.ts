import { parseDuration } from "./duration.js";
import type { Healthcheck, HealthcheckInstruction } from "./instruction.js";
import { splitFirst } from "./split-words.js";
import { FlagValues, jsonArguments, type Statement } from "./statement.js";

/** docker's minimum for every time, in nanoseconds. */
const LEAST = 1e6;

/** @throws DockerfileError */
export function parseHealthcheck(statement: Statement): HealthcheckInstruction {
  const once = ["interval", "timeout", "start-period", "start-interval", "retries"];
  const flags = new FlagValues(statement, { once });
  const { location, text } = statement;
  const check: Healthcheck = {
    test: test(statement),
    interval: duration(flags, "interval"),
    timeout: duration(flags, "timeout"),
    startPeriod: duration(flags, "start-period"),
    startInterval: duration(flags, "start-interval"),
    retries: retries(flags),
  };
  const none = { test: check.test, interval: 0, timeout: 0, startPeriod: 0, startInterval: 0, retries: 0 };
  return { name: "HEALTHCHECK", check: check.test[0] === "NONE" ? none : check, location, text };
}

function test(statement: Statement): string[] {
  const [word, rest = ""] = splitFirst(statement.rest);
  const kind = word.toUpperCase();
  if (kind === "NONE") {
    if (rest === "") return ["NONE"];
    throw statement.fail("HEALTHCHECK NONE has no arguments");
  }
  if (kind !== "CMD") throw statement.fail("HEALTHCHECK needs CMD or NONE", "Write HEALTHCHECK CMD COMMAND.");
  const argv = jsonArguments(statement, rest);
  if (rest === "" || argv?.length === 0) throw statement.fail("HEALTHCHECK CMD needs a command");
  return argv === undefined ? ["CMD-SHELL", rest] : ["CMD", ...argv];
}

function duration(flags: FlagValues, name: string): number {
  const text = flags.text(name);
  if (text === undefined || text === "") return 0;
  const nanoseconds = parseDuration(text);
  if (nanoseconds === undefined) throw flags.fail(name, `${JSON.stringify(text)} is no time`, "Write 30s or 1m30s.");
  if (nanoseconds !== 0 && nanoseconds < LEAST) throw flags.fail(name, `--${name} must be at least 1ms`);
  return nanoseconds;
}

function retries(flags: FlagValues): number {
  const text = flags.text("retries");
  if (text === undefined || text === "") return 0;
  const count = /^\+?\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (count <= 0x7fff_ffff) return count;
  throw flags.fail("retries", `--retries is a number from 0, not ${JSON.stringify(text)}`);
}
