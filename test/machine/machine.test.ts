import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CacheInvalidError, VmError } from "../../src/errors.js";
import { Agent } from "../../src/guest/index.js";
import { Machine, type RestoreSource, type Runtime, templateSource } from "../../src/machine/index.js";
import { Delta, type MemoryStrategy } from "../../src/memory/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { type FakeAgent, FakeHypervisor, FakeWorker, type Fate, fakeAgents } from "./fake-hypervisor.js";

const delta = new Delta(8192, [{ first: 1, count: 1 }], Buffer.alloc(4096, 7));
const disks = [{ lun: 1, path: "/one.erofs" }];

let folder: ReturnType<typeof temporaryFolder>;
let hypervisor: FakeHypervisor;
let agents: FakeAgent[];
/** What was asked of the memory. */
let memoryLog: string[];
let memory: MemoryStrategy;

beforeEach(() => {
  folder = temporaryFolder();
  memoryLog = [];
  memory = {
    name: "procfs",
    commonFile: (path) => ({ path, shared: false }),
    open: async (template) => ({
      file: { path: template, shared: false },
      apply: async () => void memoryLog.push("apply"),
      capture: async () => delta,
      [Symbol.asyncDispose]: async () => void memoryLog.push("dispose"),
    }),
  };
});
afterEach(() => {
  vi.restoreAllMocks();
  folder[Symbol.dispose]();
});

const template = () => ({
  key: "key",
  id: "id",
  hardware: { architecture: "x64", accelerator: "tcg", memoryMiB: 256, vcpus: 1 } as const,
  ram: join(folder.path, "ram.img"),
  deviceState: join(folder.path, "device.state"),
});

const snapshot = (): RestoreSource => ({
  template: template(),
  disks,
  state: { delta, deviceState: Buffer.from("state") },
});

function restore(fate: Fate = "answers", source = snapshot(), signal?: AbortSignal): Promise<Machine> {
  hypervisor = new FakeHypervisor(fate);
  agents = fakeAgents(hypervisor);
  const runtime = { hypervisor, memory } as unknown as Runtime;
  return Machine.restore(runtime, source, { signal });
}
const workerLog = () => hypervisor.workers[0]?.log;

describe("a restore", () => {
  test("puts the pages in place before the state, and gives the guest with its disks", async () => {
    const machine = await restore();
    expect(workerLog()).toEqual(["prepare private /one.erofs", "load state"]);
    expect(memoryLog).toEqual(["apply"]);
    expect(machine.disks).toEqual(disks);
    await machine.attachDisks([{ lun: 2, path: "/two.erofs" }]);
    expect(machine.disks.map(({ lun }) => lun)).toEqual([1, 2]);
  });

  test("puts the pages in place later when the memory is not mapped at the worker's first word", async () => {
    const open = memory.open;
    const answers = [Promise.reject(new VmError("is not mapped")), Promise.resolve()];
    let attempts = 0;
    memory.open = async (path) => ({ ...(await open(path)), apply: () => answers[attempts++] ?? Promise.resolve() });
    await restore();
    expect(attempts).toBe(2);
    expect(workerLog()).toEqual(["prepare private /one.erofs", "load state"]);
  });

  test("of the template itself has no pages of its own", async () => {
    writeFileSync(template().deviceState, "template state");
    await restore("answers", await templateSource(template()));
    expect(memoryLog).toEqual([]);
    expect(workerLog()).toEqual(["prepare private ", "load template state"]);
  });

  test("that fails ends the worker, lets go of the memory and says why", async () => {
    const error = await restore("dies").catch((each: unknown) => each);
    expect(error).toBeInstanceOf(VmError);
    expect((error as Error).message).toMatch(/could not be restored: the guest ended .*\nthe last words/);
    expect(workerLog()).toContain("kill");
    expect(memoryLog).toEqual(["apply", "dispose"]);
  });

  test("that is aborted ends the worker, lets go of the memory and passes the reason on", async () => {
    const controller = new AbortController();
    const restoring = restore("silent", snapshot(), controller.signal);
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await expect(restoring).rejects.toThrow("enough");
    expect(workerLog()).toContain("kill");
    expect(memoryLog).toEqual(["apply", "dispose"]);
  });

  test("whose state cannot be read fails with just that, and ends the worker", async () => {
    const corrupt = new CacheInvalidError("the delta is corrupt");
    const state = new Promise<never>((_, reject) => setTimeout(() => reject(corrupt), 5));
    await expect(restore("answers", { ...snapshot(), state })).rejects.toBe(corrupt);
    expect(workerLog()).toEqual(["prepare private /one.erofs", "kill"]);
    expect(memoryLog).toEqual(["dispose"]);
  });

  test("whose pages do not fit never runs", async () => {
    const open = memory.open;
    memory.open = async (path) => ({ ...(await open(path)), apply: () => Promise.reject(new VmError("does not fit")) });
    await expect(restore()).rejects.toThrow(/could not be restored: does not fit/);
    expect(workerLog()).toEqual(["prepare private /one.erofs", "kill"]);
  });
});

describe("a capture", () => {
  test("has the guest at rest, and lets it go on", async () => {
    const machine = await restore();
    await machine.capture(join(folder.path, "snapshot"));
    expect(workerLog()?.slice(2)).toEqual(["pause", "save", "resume"]);
    expect(agents[0]?.log).toEqual(["quiesce", "resume"]);
    expect(readdirSync(join(folder.path, "snapshot")).sort()).toEqual(["device.state", "memory.delta"]);
    expect((await Delta.read(join(folder.path, "snapshot/memory.delta"))).runs).toEqual(delta.runs);
  });

  test("waits for another one", async () => {
    const machine = await restore();
    await Promise.all(["one", "two"].map((name) => machine.capture(join(folder.path, name))));
    expect(workerLog()?.slice(2)).toEqual(["pause", "save", "resume", "pause", "save", "resume"]);
    expect(agents[0]?.log).toEqual(["quiesce", "resume", "quiesce", "resume"]);
  });

  test("lets the guest go on when it fails, and the next one succeed", async () => {
    const machine = await restore();
    const [worker] = hypervisor.workers;
    if (worker) worker.saveDeviceState = () => Promise.reject(new VmError("no space"));
    await expect(machine.capture(join(folder.path, "snapshot"))).rejects.toThrow("no space");
    expect(workerLog()?.slice(2)).toEqual(["pause", "resume"]);
    expect(agents[0]?.log).toEqual(["quiesce", "resume"]);
    if (worker) worker.saveDeviceState = FakeWorker.prototype.saveDeviceState;
    await machine.capture(join(folder.path, "next"));
  });

  test("of a guest that does not come to rest lets its agent go on", async () => {
    const machine = await restore();
    const [agent] = agents;
    if (agent) agent.failQuiesce = true;
    await expect(machine.capture(join(folder.path, "snapshot"))).rejects.toThrow("does not come to rest");
    expect(agent?.log).toEqual(["quiesce", "resume"]);
    expect(workerLog()).not.toContain("pause");
  });
});

describe("a pause", () => {
  test("stops the guest at rest until it is resumed, however often either is asked for", async () => {
    const machine = await restore();
    await Promise.all([machine.pause(), machine.pause()]);
    expect(machine.paused).toBe(true);
    expect(workerLog()?.slice(2)).toEqual(["pause"]);
    expect(agents[0]?.log).toEqual(["quiesce"]);
    await Promise.all([machine.resume(), machine.resume()]);
    expect(machine.paused).toBe(false);
    expect(workerLog()?.slice(2)).toEqual(["pause", "resume"]);
    expect(agents[0]?.log).toEqual(["quiesce", "resume"]);
  });

  test("lasts through a capture", async () => {
    const machine = await restore();
    await machine.pause();
    expect(await machine.capture(join(folder.path, "snapshot"))).toEqual({ pausedMs: 0 });
    expect(workerLog()?.slice(2)).toEqual(["pause", "save"]);
    await machine.resume();
    expect(workerLog()?.slice(2)).toEqual(["pause", "save", "resume"]);
  });

  test("waits for a capture that is under way", async () => {
    const machine = await restore();
    await Promise.all([machine.capture(join(folder.path, "snapshot")), machine.pause()]);
    expect(workerLog()?.slice(2)).toEqual(["pause", "save", "resume", "pause"]);
  });

  test("that fails leaves a guest that runs and can be paused", async () => {
    const machine = await restore();
    if (agents[0]) agents[0].failQuiesce = true;
    await expect(machine.pause()).rejects.toThrow("does not come to rest");
    expect(machine.paused).toBe(false);
    if (agents[0]) agents[0].failQuiesce = false;
    await machine.pause();
    expect(machine.paused).toBe(true);
  });

  test("ends before the guest is shut down in order, not before it is ended at once", async () => {
    const machine = await restore();
    await machine.pause();
    await machine.stop({ graceMs: 10 });
    expect(workerLog()?.slice(2)).toEqual(["pause", "ref", "resume", "kill"]);
    expect(agents[0]?.log).toEqual(["quiesce", "resume", "shutdown", "close the microVM was stopped"]);
    const other = await restore();
    await other.pause();
    await other.stop();
    expect(workerLog()?.slice(2)).toEqual(["pause", "kill"]);
  });
});

describe("a hand-over", () => {
  test("gives the paused guest as a machine of its own, which alone ends it", async () => {
    const machine = await restore();
    await machine.pause();
    const next = await machine.handOver();
    expect(agents.map(({ log }) => log)).toEqual([["quiesce", "detach"], []]);
    expect(workerLog()?.slice(2)).toEqual(["pause", "resume"]);
    expect(next).toMatchObject({ paused: false, disks, template: machine.template });
    await machine.stop();
    expect(workerLog()).not.toContain("kill");
    await next.stop();
    expect(workerLog()?.filter((each) => each === "kill")).toHaveLength(1);
    expect(memoryLog).toEqual(["apply", "dispose"]);
  });

  test("that fails leaves nothing", async () => {
    const machine = await restore();
    await machine.pause();
    vi.spyOn(Agent, "connect").mockRejectedValue(new VmError("no answer"));
    await expect(machine.handOver()).rejects.toThrow("no answer");
    expect(workerLog()).toContain("kill");
    expect(memoryLog).toEqual(["apply", "dispose"]);
  });

  test("is for a paused guest only", async () => {
    const machine = await restore();
    await expect(machine.handOver()).rejects.toThrow(VmError);
    expect(workerLog()?.slice(2)).toEqual([]);
  });
});

describe("an end", () => {
  test("at once closes the agent, ends the worker and lets go of the memory, once", async () => {
    const machine = await restore();
    await Promise.all([machine.stop(), machine.stop()]);
    expect(agents[0]?.log).toEqual(["close the microVM was stopped"]);
    expect(workerLog()?.filter((each) => each === "kill")).toHaveLength(1);
    expect(memoryLog).toEqual(["apply", "dispose"]);
  });

  test("in order lets the guest shut down first", async () => {
    const machine = await restore();
    await machine.stop({ graceMs: 10 });
    expect(agents[0]?.log).toEqual(["shutdown", "close the microVM was stopped"]);
  });

  test("by itself fails what is under way, with how it ended", async () => {
    await restore();
    hypervisor.workers[0]?.end({ code: null, signal: "SIGSEGV", expected: false });
    await vi.waitFor(() => expect(memoryLog).toContain("dispose"));
    expect(agents[0]?.log[0]).toMatch(/^close the microVM's QEMU was killed by SIGSEGV\nthe last words/);
  });
});
