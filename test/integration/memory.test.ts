import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { Image, VmError } from "../../src/index.js";
import { ensureTemplate, openRuntime } from "../../src/machine/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

const MIB = 2 ** 20;
let reference: string;

beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  expect(await remainingWorkers()).toEqual([]);
});

test("VMs of all images of a shape, and their forks, share the template's pages", async () => {
  const images = [await Image.fromOci(reference), await Image.fromOci(reference, { hostname: "other" })];
  // The machine that was baked holds what the emulator translated for the bake too; it is not meant here.
  for (const image of images) await (await image.start()).stop({ graceMs: 0 });
  await using one = await images[0]!.start();
  await using two = await images[1]!.start();
  await using fork = await two.fork();
  const vms = [one, two, ...fork.vms];
  await Promise.all(vms.map((vm) => vm.run(["true"])));
  const usages = await Promise.all(vms.map((vm) => vm.memory()));
  for (const usage of usages) {
    expect(usage).toMatchObject({ sharesTemplate: true, guestBytes: 256 * MIB });
    // The target for an idle VM; a full copy of the RAM would be several times as much.
    expect(usage.privateBytes).toBeLessThan(45 * MIB);
    expect(usage.guestPrivateBytes).toBeLessThan(16 * MIB);
    expect(usage.templateBytes).toBeGreaterThan(4 * MIB);
    expect(usage.proportionalBytes).toBeLessThan(usage.privateBytes + usage.templateBytes);
  }
});

test("a worker that waits for a state has no page of its own: the pages of a delta stay as they are put", async () => {
  const runtime = await openRuntime();
  const { hardware, ram } = await ensureTemplate(runtime, { memoryMiB: 256, vcpus: 1 });
  await using memory = await runtime.memory.open(ram);
  const worker = await runtime.hypervisor.prepare(hardware, memory.file, []);
  try {
    expect((await memory.capture(worker.pid)).runs).toEqual([]);
  } finally {
    await worker.kill();
  }
});

test("a VM says when it shares nothing", async () => {
  vi.stubEnv("SUPERMACHINE_MEMORY", "clone");
  await using vm = await (await Image.fromOci(reference)).start();
  const usage = await vm.memory();
  expect(usage).toMatchObject({ sharesTemplate: false, templateBytes: 0 });
  expect(usage.guestPrivateBytes).toBeGreaterThan(16 * MIB);
});

test("the memory of a VM that is gone cannot be read", async () => {
  const vm = await (await Image.fromOci(reference)).start();
  await vm[Symbol.asyncDispose]();
  await expect(vm.memory()).rejects.toThrow(VmError);
});

test("a guest of 4 GiB and 4 processors has them, and is captured as small as others", async () => {
  const image = await Image.fromOci(reference, { memoryMiB: 4096, vcpus: 4 });
  await using vm = await image.start();
  const { stdout } = await vm.run(["sh", "-c", "nproc; sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"]);
  const [processors, kilobytes] = stdout.trim().split("\n").map(Number);
  expect(processors).toBe(4);
  expect(kilobytes).toBeGreaterThan(3900 * 1024 * 0.97);
  await using fork = await vm.fork({ count: 2 });
  expect(fork.failures).toEqual([]);
  for (const clone of fork.vms) {
    expect((await clone.run(["nproc"])).stdout).toBe("4\n");
    expect((await clone.memory()).guestPrivateBytes).toBeLessThan(32 * MIB);
  }
});
