import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Image, type Pool, type Vm, type Writable } from "../src/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark, type Case } from "./support/benchmark.js";

const PLACES = ["memory", "disk"] as const;
/** Enough for what is written in memory. */
const MEMORY_MIB = 1024;
const [LARGE_MIB, FILES] = [200, 5_000];
const CLOCK = "read -r at rest < /proc/uptime; echo $at";

/** What it costs to keep what is written to the root on a disk, beside keeping it in memory. */
async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  const guests: Guest[] = [];
  try {
    for (const place of PLACES) guests.push(await startGuest(place, folder));
    await benchmark({
      name: "writable",
      title: `Writing to the root, kept in memory or on a disk; a guest of ${MEMORY_MIB} MiB, isolation ${guests[0]?.vm.isolation}`,
      runs: Number(process.env.SUPERMACHINE_BENCH_RUNS ?? 5),
      cases: STEPS.flatMap((step) =>
        guests.map((guest) => ({ ...step.of(guest), name: `${step.name}, ${guest.place}` })),
      ),
      facts: async () =>
        Object.assign({}, ...guests.map(({ place, taken }) => ({ [`size of the snapshot, ${place}`]: sizeOf(taken) }))),
    });
  } finally {
    for (const { vm, pool } of guests) await Promise.all([vm[Symbol.asyncDispose](), pool.close()]);
    rmSync(folder, { recursive: true });
  }
}

interface Guest {
  place: Writable;
  image: Image;
  pool: Pool;
  vm: Vm;
  /** Where its snapshot is. */
  taken: string;
}

async function startGuest(place: Writable, folder: string): Promise<Guest> {
  const reference = `oci-archive:${(await busyboxImage()).archive}`;
  const image = await Image.fromOci(reference, { memoryMiB: MEMORY_MIB, writable: place });
  return { place, image, pool: image.pool({ min: 1 }), vm: await image.start(), taken: join(folder, place) };
}

/** The last two leave the large file for the snapshot. */
const STEPS: readonly { name: string; of: (guest: Guest) => Omit<Case, "name"> }[] = [
  { name: "start, and a first command", of: ({ image }) => ({ run: () => startOnce(image) }) },
  { name: "acquire from a pool, and a command", of: ({ pool }) => ({ run: () => acquireOnce(pool) }) },
  {
    name: `write ${FILES} files of 1 KB`,
    of: ({ vm }) => ({
      before: () => sh(vm, "rm -rf /many; mkdir /many").then(() => undefined),
      run: () => timed(vm, `i=0; while [ $i -lt ${FILES} ]; do echo "$KB" > /many/$i; i=$((i+1)); done`),
    }),
  },
  { name: "remove them", of: ({ vm }) => ({ run: () => timed(vm, "rm -rf /many/*; rmdir /many") }) },
  {
    name: `write ${LARGE_MIB} MiB`,
    of: ({ vm }) => ({
      bytes: LARGE_MIB * 2 ** 20,
      before: () => sh(vm, "rm -f /large; sync").then(() => undefined),
      run: () => timed(vm, `dd if=/dev/zero bs=1M count=${LARGE_MIB} 2>/dev/null | tr '\\0' x > /large`),
    }),
  },
  {
    name: `snapshot with ${LARGE_MIB} MiB written`,
    of: ({ vm, taken }) => ({
      before: () => rm(taken, { recursive: true, force: true }),
      run: async () => void (await vm.snapshot(taken)),
    }),
  },
  { name: "start from that", of: ({ taken }) => ({ run: async () => startOnce(await Image.fromSnapshot(taken)) }) },
];

await main();

async function startOnce(image: Image): Promise<number> {
  const started = performance.now();
  await using vm = await image.start();
  await vm.run(["true"]);
  return performance.now() - started;
}

async function acquireOnce(pool: Pool): Promise<number> {
  const started = performance.now();
  await using vm = await pool.acquire();
  await vm.run(["true"]);
  return performance.now() - started;
}

async function sh(vm: Vm, script: string): Promise<string> {
  return (await vm.run(["sh", "-c", script], { env: { KB: "x".repeat(1023) } })).stdout;
}

/** By the guest's own clock. */
async function timed(vm: Vm, script: string): Promise<number> {
  const [from, to] = (await sh(vm, `${CLOCK}; ${script}; ${CLOCK}`)).split("\n");
  return (Number(to) - Number(from)) * 1000;
}

function sizeOf(folder: string): string {
  const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
