import { mkdtempSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Image, type Vm } from "../src/index.js";
import { openRuntime, type Runtime } from "../src/machine/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark, type Case } from "./support/benchmark.js";
import { PlainQemu } from "./support/plain-qemu.js";

const SIZES_MIB = [256, 1024, 4096];
const RIVAL_SIZE_MIB = 256;

await main();

/** What a snapshot takes and what it costs to start from one, by the guest's memory; and what QEMU's own way takes. */
async function main(): Promise<void> {
  const runtime = await openRuntime();
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  const reference = `oci-archive:${(await busyboxImage()).archive}`;
  const guests: Guest[] = [];
  try {
    for (const memoryMiB of SIZES_MIB) guests.push(await startGuest(runtime, reference, memoryMiB, folder));
    await benchmark({
      name: "snapshot",
      title: `Snapshots of an idle guest by its memory, isolation by ${runtime.accelerator}`,
      rival: migrateName(RIVAL_SIZE_MIB),
      runs: 10,
      cases: guests.flatMap((guest) => cases(runtime, guest)),
      facts: async () => Object.assign({}, ...guests.map(sizes)),
    });
  } finally {
    for (const { vm, plain } of guests) await Promise.all([vm[Symbol.asyncDispose](), plain[Symbol.asyncDispose]()]);
    rmSync(folder, { recursive: true });
  }
}

interface Guest {
  memoryMiB: number;
  vm: Vm;
  plain: PlainQemu;
  /** Where the last snapshot of each is. */
  ours: string;
  theirs: string;
}

function migrateName(memoryMiB: number): string {
  return `QEMU migrate to a file, ${memoryMiB} MiB`;
}

async function startGuest(runtime: Runtime, reference: string, memoryMiB: number, folder: string): Promise<Guest> {
  const vm = await (await Image.fromOci(reference, { memoryMiB })).start();
  const plain = await PlainQemu.boot(runtime, memoryMiB);
  return { memoryMiB, vm, plain, ours: join(folder, `ours-${memoryMiB}`), theirs: join(folder, `theirs-${memoryMiB}`) };
}

function cases(runtime: Runtime, { memoryMiB, vm, plain, ours, theirs }: Guest): Case[] {
  return [
    {
      name: `guest stands still, ${memoryMiB} MiB`,
      target: 30,
      run: async () => {
        const fork = await vm.fork();
        await fork[Symbol.asyncDispose]();
        return fork.pausedMs;
      },
    },
    {
      name: `vm.snapshot(), ${memoryMiB} MiB`,
      before: () => rm(ours, { recursive: true, force: true }),
      run: async () => void (await vm.snapshot(ours)),
    },
    { name: migrateName(memoryMiB), before: () => rm(theirs, { force: true }), run: () => plain.save(theirs) },
    { name: `start from it, ${memoryMiB} MiB`, run: () => startOurs(ours) },
    { name: `QEMU -incoming from the file, ${memoryMiB} MiB`, run: () => startTheirs(runtime, memoryMiB, theirs) },
  ];
}

/** To the agent's answer, as for the rival; opening and checking the snapshot included. */
async function startOurs(path: string): Promise<number> {
  const started = performance.now();
  const vm = await (await Image.fromSnapshot(path)).start();
  const elapsed = performance.now() - started;
  await vm[Symbol.asyncDispose]();
  return elapsed;
}

async function startTheirs(runtime: Runtime, memoryMiB: number, file: string): Promise<number> {
  const started = performance.now();
  const guest = await PlainQemu.restore(runtime, memoryMiB, file);
  const elapsed = performance.now() - started;
  await guest[Symbol.asyncDispose]();
  return elapsed;
}

function sizes({ memoryMiB, ours, theirs }: Guest): Record<string, string> {
  const bytes = ["memory.delta", "device.state"].reduce((sum, name) => sum + statSync(join(ours, name)).size, 0);
  return {
    [`size of our snapshot, ${memoryMiB} MiB (target <= 8 MiB)`]: mebibytes(bytes),
    [`size of the migration file, ${memoryMiB} MiB`]: mebibytes(statSync(theirs).size),
  };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(2)} MiB`;
}
