import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Runtime, Template } from "../../src/machine/index.js";
import { Machine, MemoryLimit, Spares, spares } from "../../src/machine/index.js";
import type { MemoryStrategy } from "../../src/memory/index.js";
import { FakeHypervisor, fakeAgents } from "./fake-hypervisor.js";

let hypervisor: FakeHypervisor;
let disposed: number;
let limit: MemoryLimit;
let reserve: Spares;

const memory: MemoryStrategy = {
  name: "procfs",
  commonFile: (path) => ({ path, shared: false }),
  open: async (path) => ({
    file: { path, shared: false },
    apply: async () => undefined,
    capture: () => Promise.reject(new Error("unused")),
    [Symbol.asyncDispose]: async () => void disposed++,
  }),
};
const template = (id = "id"): Template => ({
  key: "key",
  id,
  hardware: { architecture: "x64", accelerator: "tcg", memoryMiB: 256, vcpus: 1 },
  ram: `/${id}/ram.img`,
  deviceState: "/device.state",
});
const runtime = () => ({ hypervisor, memory }) as unknown as Runtime;
/** How often a worker of the fake hypervisor was asked to do something. */
const asked = (what: string) => hypervisor.workers.filter(({ log }) => log.includes(what)).length;

beforeEach(() => {
  vi.useFakeTimers();
  hypervisor = new FakeHypervisor("answers");
  disposed = 0;
  limit = new MemoryLimit();
  reserve = new Spares(limit);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("spares", () => {
  test("are not kept unless somebody wishes for them", async () => {
    expect(reserve.take(template())).toBeUndefined();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(hypervisor.workers).toEqual([]);
  });

  test("are started one after the other without disks, do not hold the process, and go with the wish", async () => {
    const wish = reserve.wish(runtime(), template(), 2);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(hypervisor.workers.map(({ log }) => log)).toEqual([
      ["prepare private ", "unref"],
      ["prepare private ", "unref"],
    ]);
    wish[Symbol.dispose]();
    await vi.advanceTimersByTimeAsync(0);
    expect([asked("kill"), disposed, reserve.count(template())]).toEqual([2, 2, 0]);
  });

  test("add up over the wishes of a template, to four at most, and are no other template's", async () => {
    const wishes = [reserve.wish(runtime(), template(), 1), reserve.wish(runtime(), template(), 9)];
    await vi.advanceTimersByTimeAsync(1_000);
    expect([reserve.count(template()), reserve.count(template("other"))]).toEqual([4, 0]);
    expect(reserve.take(template("other"))).toBeUndefined();
    wishes[1]?.[Symbol.dispose]();
    expect(reserve.count(template())).toBe(1);
  });

  test("that are taken belong to the taker, and are replaced", async () => {
    reserve.wish(runtime(), template(), 1);
    await vi.advanceTimersByTimeAsync(1_000);
    const spare = reserve.take(template());
    expect(spare?.worker).toBe(hypervisor.workers[0]);
    expect(hypervisor.workers[0]?.log).toEqual(["prepare private ", "unref", "ref"]);
    expect(reserve.take(template())).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(reserve.count(template())).toBe(1);
    expect(asked("kill")).toBe(0);
  });

  test("that die are replaced", async () => {
    reserve.wish(runtime(), template(), 1);
    await vi.advanceTimersByTimeAsync(1_000);
    hypervisor.workers[0]?.end({ code: null, signal: "SIGKILL", expected: false });
    await vi.advanceTimersByTimeAsync(0);
    expect([reserve.count(template()), disposed]).toEqual([0, 1]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([reserve.count(template()), hypervisor.workers.length]).toEqual([1, 2]);
  });

  test("that cannot be started are tried again later, not at once", async () => {
    const prepare = vi.spyOn(hypervisor, "prepare").mockRejectedValue(new Error("no QEMU"));
    reserve.wish(runtime(), template(), 1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([prepare.mock.calls.length, disposed]).toEqual([1, 1]);
    prepare.mockRestore();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(reserve.count(template())).toBe(1);
  });

  test("count in the memory limit while they wait, keep within it, and come back with the memory", async () => {
    limit.set(100);
    const other = limit.count(50);
    reserve.wish(runtime(), template(), 2);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([reserve.count(template()), limit.usedMiB]).toEqual([0, 50]);
    other[Symbol.dispose]();
    await vi.advanceTimersByTimeAsync(1_000);
    expect([reserve.count(template()), limit.usedMiB]).toEqual([1, 64]);
    limit.set(200);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([reserve.count(template()), limit.usedMiB]).toEqual([2, 128]);
    reserve.take(template());
    expect(limit.usedMiB).toBe(64);
  });

  test("are given up for whoever needs their memory", async () => {
    limit.set(100);
    reserve.wish(runtime(), template(), 1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(limit.obstacle(100)).toBeUndefined();
    limit.count(50);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([reserve.count(template()), asked("kill"), limit.usedMiB]).toEqual([0, 1, 50]);
  });

  test("that became ready after the wish was withdrawn are ended", async () => {
    let ready = (): void => undefined;
    const prepare = hypervisor.prepare.bind(hypervisor);
    vi.spyOn(hypervisor, "prepare").mockImplementation(async (...args) => {
      await new Promise<void>((resolve) => {
        ready = resolve;
      });
      return prepare(...args);
    });
    const wish = reserve.wish(runtime(), template(), 1);
    await vi.advanceTimersByTimeAsync(0);
    wish[Symbol.dispose]();
    ready();
    await vi.advanceTimersByTimeAsync(0);
    expect([reserve.count(template()), asked("kill"), disposed]).toEqual([0, 1, 1]);
  });
});

describe("a restore", () => {
  const source = () => ({
    template: template(),
    disks: [{ lun: 1, path: "/one.erofs" }],
    state: { deviceState: Buffer.from("s") },
  });
  let wish: Disposable;
  beforeEach(async () => {
    fakeAgents(hypervisor);
    wish = spares.wish(runtime(), template(), 1);
    await vi.advanceTimersByTimeAsync(1_000);
  });
  afterEach(() => wish[Symbol.dispose]());

  test("takes a spare, which gets its disks while it waits", async () => {
    const machine = await Machine.restore(runtime(), source());
    expect(hypervisor.workers[0]?.log.slice(2)).toEqual(["ref", "attach 1=/one.erofs", "load s"]);
    await machine.stop();
    expect([asked("kill"), disposed]).toEqual([1, 1]);
  });

  test("starts a worker when there is no spare", async () => {
    await Machine.restore(runtime(), source());
    await Machine.restore(runtime(), source());
    expect(hypervisor.workers[1]?.log).toEqual(["prepare private /one.erofs", "load s"]);
  });

  test("starts a worker when the spare has just died", async () => {
    const [dead] = hypervisor.workers;
    if (dead) dead.attachDisks = () => Promise.reject(new Error("gone"));
    await Machine.restore(runtime(), source());
    expect(dead?.log).toContain("kill");
    expect(hypervisor.workers[1]?.log).toEqual(["prepare private /one.erofs", "load s"]);
  });

  test("that is aborted already takes none", async () => {
    const restoring = Machine.restore(runtime(), source(), { signal: AbortSignal.abort(new Error("enough")) });
    await expect(restoring).rejects.toThrow("enough");
    expect(spares.count(template())).toBe(1);
  });
});
