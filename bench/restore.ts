import { mkdtempSync, rmSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readMetadata } from "../src/image/index.js";
import { Image, removeImage } from "../src/index.js";
import {
  boot,
  ensureTemplate,
  type GuestState,
  Machine,
  openRuntime,
  type RestoreSource,
  type Runtime,
} from "../src/machine/index.js";
import { Delta } from "../src/memory/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark } from "./support/benchmark.js";
import { RuncContainer } from "./support/runc.js";

await main();

/** What it takes to get a running guest: from nothing, from a spare, from a bake; and what a boot or a container takes. */
async function main(): Promise<void> {
  const runtime = await openRuntime();
  const { archive, layout } = await busyboxImage();
  const reference = `oci-archive:${archive}`;
  const image = await Image.fromOci(reference);
  const source = await loadSource(runtime, image);
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  await using container = await RuncContainer.open(layout);
  const captured = await Machine.restore(runtime, source);
  try {
    await benchmark({
      name: "restore",
      title: `A guest of ${image.memoryMiB} MiB, isolation by ${runtime.accelerator}`,
      rival: "boot of the same kernel to the agent's answer",
      cases: [
        { name: "cold restore to the first command's answer", target: 150, run: () => coldStart(image) },
        { name: "cold restore to the agent's answer", run: () => coldRestore(runtime, source) },
        { name: "spare: disks, delta and state to running", target: 20, run: () => spare(runtime, source, "all") },
        { name: "spare: state load alone", target: 15, run: () => spare(runtime, source, "state") },
        { name: "bake, layers and template present", target: 1000, run: () => bakeOnce(reference) },
        {
          name: "pause for a snapshot",
          target: 30,
          run: async (round) => (await captured.capture(join(folder, `snapshot-${round}`))).pausedMs,
        },
        { name: "boot of the same kernel to the agent's answer", run: () => fullBoot(runtime, folder) },
        { name: "runc run true (a container, no isolation of the kernel)", run: () => container.runOnce() },
      ],
      facts: async () => ({
        "delta (target <= 8 MiB)": mebibytes(statSync(join(image.snapshotPath, "memory.delta")).size),
        "device state": mebibytes(statSync(join(image.snapshotPath, "device.state")).size),
      }),
    });
  } finally {
    await captured.stop();
    rmSync(folder, { recursive: true });
  }
}

async function loadSource(runtime: Runtime, image: Image): Promise<RestoreSource & { state: GuestState }> {
  const template = await ensureTemplate(runtime, image);
  const { layers } = await readMetadata(image.snapshotPath);
  const state = {
    delta: await Delta.read(join(image.snapshotPath, "memory.delta")),
    deviceState: await readFile(join(image.snapshotPath, "device.state")),
  };
  return { template, disks: layers, state };
}

async function coldStart(image: Image): Promise<number> {
  const started = performance.now();
  await using vm = await image.start();
  await vm.run(["true"]);
  return performance.now() - started;
}

async function coldRestore(runtime: Runtime, source: RestoreSource): Promise<number> {
  const started = performance.now();
  const machine = await Machine.restore(runtime, source);
  const elapsed = performance.now() - started;
  await machine.stop();
  return elapsed;
}

/** A spare has paid for its process's start in advance, and knows no image yet. */
async function spare(
  runtime: Runtime,
  source: RestoreSource & { state: GuestState },
  part: "all" | "state",
): Promise<number> {
  await using ram = await runtime.memory.open(source.template.ram);
  const worker = await runtime.hypervisor.prepare(source.template.hardware, ram.file, []);
  const started = performance.now();
  await worker.attachDisks(source.disks);
  if (source.state.delta) await ram.apply(worker.pid, source.state.delta);
  const applied = performance.now();
  await worker.loadDeviceState(source.state.deviceState);
  const elapsed = performance.now() - (part === "all" ? started : applied);
  await worker.kill();
  return elapsed;
}

async function bakeOnce(reference: string): Promise<number> {
  const started = performance.now();
  const { name } = await Image.ensureBaked("bench-bake", reference);
  const elapsed = performance.now() - started;
  await removeImage(name);
  return elapsed;
}

async function fullBoot({ hypervisor, accelerator, assets }: Runtime, folder: string): Promise<number> {
  const ram = { path: join(folder, "ram.img"), shared: true };
  const hardware = { architecture: assets.architecture, accelerator, memoryMiB: 256, vcpus: 1 };
  const source = { kernel: assets.kernel.vmlinuz, initramfs: assets.initramfs };
  const started = performance.now();
  const { worker, agent } = await boot(hypervisor, hardware, ram, source, { totalMs: 120_000 });
  const elapsed = performance.now() - started;
  agent.close();
  await worker.kill();
  rmSync(ram.path);
  return elapsed;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(2)} MiB`;
}
