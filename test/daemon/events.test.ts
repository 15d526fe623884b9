import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EventLimit, readEvents, recordEvent, type VmEvent } from "../../src/daemon/events.js";

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "supermachine-home-"));
  vi.stubEnv("SUPERMACHINE_HOME", home);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true });
});

async function past(vm?: string): Promise<VmEvent[]> {
  const events: VmEvent[] = [];
  for await (const event of readEvents({ since: new Date(0), follow: false, vm })) events.push(event);
  return events;
}

test("events are read as they were noted, of all VMs or one", async () => {
  expect(await past()).toEqual([]);
  await recordEvent("web", "start", { image: "nginx" });
  await recordEvent("db", "die", { exitCode: 1 });
  expect(await past()).toMatchObject([
    { vm: "web", event: "start", details: { image: "nginx" } },
    { vm: "db", event: "die", details: { exitCode: 1 } },
  ]);
  expect(await past("db")).toHaveLength(1);
});

test("who follows gets what happens from then on", async () => {
  await recordEvent("web", "start");
  const over = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const { event } of readEvents({ signal: over.signal })) if (seen.push(event) === 2) over.abort();
  })();
  await new Promise((resolve) => setTimeout(resolve, 150));
  await recordEvent("web", "stop");
  await recordEvent("web", "die");
  await following;
  expect(seen).toEqual(["stop", "die"]);
});

test("a line that a full disk cut off is left out", async () => {
  await recordEvent("web", "start");
  appendFileSync(join(home, "vms", ".events"), '{"time":"20\n');
  await recordEvent("web", "die");
  expect((await past()).map(({ event }) => event)).toEqual(["start", "die"]);
});

test("they never take more than two files of about 5 MiB", async () => {
  for (let i = 0; i < 14; i++) await recordEvent("web", "start", { text: "x".repeat(2 ** 20) });
  const files = readdirSync(join(home, "vms"));
  expect(files.sort()).toEqual([".events", ".events.1"]);
  for (const file of files) expect(statSync(join(home, "vms", file)).size).toBeLessThan(7 * 2 ** 20);
  expect((await past()).length).toBeGreaterThan(5);
});

test("where events cannot be noted, nothing else fails", async () => {
  vi.stubEnv("SUPERMACHINE_HOME", "/dev/null/home");
  await recordEvent("web", "start");
});

test("a guest's decisions are limited per second, and those left out are counted", () => {
  const limit = new EventLimit();
  const passed = Array.from({ length: 50 }, () => limit.pass(1_000)).filter((each) => each !== undefined);
  expect(passed).toHaveLength(20);
  expect(limit.pass(2_000)).toEqual({ dropped: 30 });
  expect(limit.pass(2_000)).toEqual({ dropped: 0 });
});
