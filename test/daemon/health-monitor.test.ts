import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Health, HealthMonitor } from "../../src/daemon/health-monitor.js";
import { ExecTimeoutError } from "../../src/errors.js";

/** Lets a monitor ask something that answers with one exit code after the other, and then is gone. */
async function states(codes: (number | "late")[], options = {}, isPaused = () => false): Promise<string[]> {
  const seen: Health[] = [];
  const answers = [...codes];
  const check = { argv: ["check"], intervalMs: 2, timeoutMs: 500, startPeriodMs: 0, retries: 2, ...options };
  let end = (): void => undefined;
  const gone = new Promise<void>((resolve) => {
    end = resolve;
  });
  const run = async () => {
    const exitCode = answers.shift();
    if (exitCode === undefined) end();
    if (exitCode === undefined) throw new Error("the VM is gone");
    if (exitCode === "late") throw new ExecTimeoutError("too late", { stdout: "half " });
    return { exitCode, signal: null, stdout: "out ", stderr: "err", durationMs: 1, truncated: false };
  };
  using _monitor = new HealthMonitor({ check, run: run as never, isPaused }, (health) => seen.push(health));
  await (isPaused() ? sleep(30) : gone);
  return seen.map(({ status, failures }) => `${status} ${failures}`);
}

test("one success makes it healthy, and several failures in a row unhealthy", async () => {
  const expected = ["healthy 0", "healthy 1", "healthy 0", "healthy 1", "unhealthy 2", "unhealthy 3", "healthy 0"];
  expect(await states([0, 1, 0, 1, 1, 1, 0])).toEqual(expected);
});

test("one that was never well becomes unhealthy too", async () => {
  expect((await states(Array.from({ length: 20 }, () => 1))).at(-1)).toMatch(/^unhealthy/);
});

test("failures in the start period do not count", async () => {
  const ever = { startPeriodMs: 3_600_000 };
  expect(await states([1, 1, 1, 0, 1], ever)).toEqual([
    ...["starting 0", "starting 0", "starting 0"],
    ...["healthy 0", "healthy 1"],
  ]);
});

test("a check that takes too long has failed", async () => {
  expect(await states([0, "late", "late"])).toEqual(["healthy 0", "healthy 1", "unhealthy 2"]);
});

test("a paused VM is not asked, and one that is gone ends it", async () => {
  expect(await states([0, 0], {}, () => true)).toEqual([]);
  expect(await states([])).toEqual([]);
});
