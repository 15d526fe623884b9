import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { VmError } from "../../src/errors.js";
import { forkMachine, Machine, type Runtime } from "../../src/machine/index.js";
import { Delta, type MemoryStrategy } from "../../src/memory/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { FakeHypervisor, FakeWorker, fakeAgents } from "./fake-hypervisor.js";

const delta = new Delta(8192, [{ first: 1, count: 1 }], Buffer.alloc(4096, 7));

let folder: ReturnType<typeof temporaryFolder>;
let hypervisor: FakeHypervisor;
/** What was put over the template's pages, for each worker. */
let applied: Delta[];
let runtime: Runtime;

beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", folder.path);
  applied = [];
  hypervisor = new FakeHypervisor("answers");
  fakeAgents(hypervisor);
  const memory: MemoryStrategy = {
    name: "procfs",
    commonFile: (path) => ({ path, shared: false }),
    open: async (path) => ({
      file: { path, shared: false },
      apply: async (_pid, pages) => void applied.push(pages),
      capture: async () => delta,
      [Symbol.asyncDispose]: async () => undefined,
    }),
  };
  runtime = { hypervisor, memory } as unknown as Runtime;
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

function start(): Promise<Machine> {
  const hardware = { architecture: "x64", accelerator: "tcg", memoryMiB: 256, vcpus: 1 } as const;
  const template = { key: "key", id: "id", hardware, ram: "ram.img", deviceState: "device.state" };
  const disks = [{ lun: 1, path: "/one.erofs" }];
  return Machine.restore(runtime, { template, disks, state: { deviceState: Buffer.from("before") } });
}
const identities = (count: number) => Array.from({ length: count }, (_, i) => ({ hostname: `clone-${i}` }));
const living = () => hypervisor.workers.filter(({ log }) => !log.includes("kill"));

/** A guest with a disk that begins as `base`. */
function startWithDisk(): Promise<Machine> {
  const hardware = { architecture: "x64", accelerator: "tcg", memoryMiB: 256, vcpus: 1 } as const;
  const template = { key: "key", id: "id", hardware, ram: "ram.img", deviceState: "device.state" };
  const rootDisk = { lun: 511, sizeMiB: 64, base: { path: "/base", format: "raw" as const } };
  return Machine.restore(runtime, { template, disks: [], rootDisk, state: { deviceState: Buffer.from("before") } });
}

test("each clone has a disk of its own, which is the source's as it was when it stood still", async () => {
  const source = await startWithDisk();
  expect(source.rootDisk).toEqual({ lun: 511, sizeMiB: 64 });
  const { clones } = await forkMachine(runtime, source, identities(2));
  expect(clones.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
  const [first, ...others] = hypervisor.workers.map(({ log }) => log);
  expect(first?.slice(-4)).toEqual(["pause", "save", "copy 511", "resume"]);
  const own = others.map((log) => log[0]);
  for (const line of own) expect(line).toMatch(/^prepare private .*\/run\/\d+-\d+\.disk$/);
  expect(new Set(own).size).toBe(2);
  // The hypervisors have opened them; their files have no name any more.
  expect(readdirSync(join(folder.path, "run")).filter((name) => name.endsWith(".disk"))).toEqual([]);
});

describe("a fork", () => {
  test("restores every clone from one capture, with the source's disks, and leaves no file", async () => {
    const source = await start();
    await source.attachDisks([{ lun: 2, path: "/two.erofs" }]);
    const { clones, pausedMs } = await forkMachine(runtime, source, identities(9));
    expect(clones.every(({ status }) => status === "fulfilled")).toBe(true);
    expect(pausedMs).toBeGreaterThan(0);
    const [first, ...others] = hypervisor.workers.map(({ log }) => log);
    expect(first?.slice(3)).toEqual(["pause", "save", "resume"]);
    expect(others).toHaveLength(9);
    for (const log of others) expect(log).toEqual(["prepare private /one.erofs,/two.erofs", "load device state"]);
    expect(applied).toEqual(Array(9).fill(delta));
    expect(readdirSync(join(folder.path, "run"))).toEqual([]);
  });

  test("gives the clones that were made and the reasons for those that were not", async () => {
    const source = await start();
    hypervisor.fates = ["answers", "dies", "answers"];
    const { clones } = await forkMachine(runtime, source, identities(3));
    expect(clones.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(clones[1]).toMatchObject({ reason: expect.any(VmError) });
    expect(living()).toHaveLength(3);
  });

  test("that is aborted rejects with the reason and leaves the source alone", async () => {
    const source = await start();
    hypervisor.fates = ["answers", "silent", "silent", "answers"];
    const controller = new AbortController();
    const forking = forkMachine(runtime, source, identities(30), controller.signal);
    setTimeout(() => controller.abort(new Error("enough")), 30);
    await expect(forking).rejects.toThrow("enough");
    expect(living()).toEqual([hypervisor.workers[0]]);
  });

  test("of a machine that cannot be captured rejects, and leaves no file", async () => {
    const source = await start();
    const [worker] = hypervisor.workers;
    if (worker) worker.saveDeviceState = () => Promise.reject(new VmError("no space"));
    await expect(forkMachine(runtime, source, identities(2))).rejects.toThrow("no space");
    expect(hypervisor.workers).toHaveLength(1);
    expect(readdirSync(join(folder.path, "run"))).toEqual([]);
    if (worker) worker.saveDeviceState = FakeWorker.prototype.saveDeviceState;
    await forkMachine(runtime, source, identities(1));
  });

  test("of a paused machine leaves it paused", async () => {
    const source = await start();
    await source.pause();
    expect(await forkMachine(runtime, source, identities(1))).toMatchObject({ pausedMs: 0 });
    expect(source.paused).toBe(true);
    expect(hypervisor.workers[0]?.log.at(-1)).toBe("save");
  });
});
