import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { VmError } from "../../src/errors.js";
import { type BootLimits, boot } from "../../src/machine/boot.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { FakeHypervisor, type Fate, fakeAgents } from "./fake-hypervisor.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => {
  vi.restoreAllMocks();
  folder[Symbol.dispose]();
});

const hardware = { architecture: "x64", accelerator: "tcg", memoryMiB: 128, vcpus: 1 } as const;
const source = { kernel: "/vmlinuz", initramfs: "/initramfs" };

function start(fate: Fate, limits: Partial<BootLimits> = {}, signal?: AbortSignal) {
  const hypervisor = new FakeHypervisor(fate);
  const agents = fakeAgents(hypervisor);
  const ram = { path: join(folder.path, "ram.img"), shared: true };
  return {
    hypervisor,
    agents,
    booting: boot(hypervisor, hardware, ram, source, { totalMs: 10_000, ...limits }, signal),
  };
}

test("a guest whose agent answers is given with its agent, and lives on", async () => {
  const { hypervisor, agents, booting } = start("answers");
  const { worker, agent } = await booting;
  expect(worker).toBe(hypervisor.workers[0]);
  expect(agent).toBe(agents[0]);
  expect(hypervisor.workers[0]?.log).toEqual([]);
});

test.each<[Fate, Partial<BootLimits>, RegExp]>([
  ["dies", {}, /did not boot: QEMU ended \(code 1\)\nthe last words of the console/],
  ["silent", { silentMs: 150 }, /its console was silent for 0.15 s\nthe last words/],
  ["silent", { totalMs: 150 }, /did not boot: .*agent.*\nthe last words/],
  ["chatty", { totalMs: 600, silentMs: 250 }, /did not boot: .*agent.*\nthe last words/],
])("a guest that is %s within %j is given up with the reason, and ended", async (fate, limits, reason) => {
  const { hypervisor, booting } = start(fate, limits);
  const error = await booting.catch((each: unknown) => each);
  expect(error).toBeInstanceOf(VmError);
  expect((error as Error).message).toMatch(reason);
  expect(hypervisor.workers[0]?.log).toEqual(["kill"]);
});

test("a boot that is aborted ends the guest and passes the reason on", async () => {
  const controller = new AbortController();
  const { hypervisor, booting } = start("silent", {}, controller.signal);
  setTimeout(() => controller.abort(new Error("enough")), 20);
  await expect(booting).rejects.toThrow("enough");
  expect(hypervisor.workers[0]?.log).toEqual(["kill"]);
});
