import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Image, type Pool } from "../src/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark, type Case } from "./support/benchmark.js";
import { Containers } from "./support/containers.js";

const CRUN = "crun run true (a container, no isolation of the kernel)";
const BURST = 20;
const MOST_AT_A_TIME = 16;

await main();

/** What a clean machine for one command costs: out of a pool, and as a container of the same root file system. */
async function main(): Promise<void> {
  const { archive, layout } = await busyboxImage();
  const image = await Image.fromOci(`oci-archive:${archive}`);
  await using crun = await Containers.open("crun", layout);
  await using runc = await Containers.open("runc", layout);
  for (const atATime of [1, 4, MOST_AT_A_TIME]) await cycles(image, atATime, crun, runc);
  await burst(image, crun);
  await memory(image);
}

async function cycles(image: Image, atATime: number, crun: Containers, runc: Containers): Promise<void> {
  await using pool = image.pool({ min: atATime });
  const before = () => filled(pool, atATime);
  const all = (run: () => Promise<void>) => async () => void (await Promise.all(Array.from({ length: atATime }, run)));
  const alone: Case[] = [
    { name: "acquire, a VM idles", target: 1, before, run: () => acquireOnly(pool) },
    { name: "acquire to the first answer, none idles, but a spare waits", run: () => empty(image) },
  ];
  await benchmark({
    name: `pool-${atATime}`,
    title: `A clean machine for one command, ${atATime} at a time, isolation ${await isolationOf(pool)}`,
    rival: CRUN,
    cases: [
      { name: "acquire, run true, release; VMs idle", before, run: all(() => cycle(pool)) },
      ...(atATime === 1 ? alone : []),
      { name: CRUN, before: () => quiet(pool), run: all(() => crun.run()) },
      { name: "runc run true", before: () => quiet(pool), run: all(() => runc.run()) },
    ],
    facts: async () => (atATime === 1 ? { "target of acquire, run, release": "half the time of crun" } : {}),
  });
}

/** Nothing is prepared: this is what the machine can restore at all. */
async function burst(image: Image, crun: Containers): Promise<void> {
  const rival = `${BURST} x ${CRUN}`;
  await benchmark({
    name: "pool-burst",
    title: `${BURST} acquires at once of an empty pool`,
    rival,
    runs: 5,
    cases: [
      { name: "until the first VM has answered", run: async () => (await burstTimes(image))[0] },
      { name: "until the last VM has answered", run: async () => (await burstTimes(image)).at(-1) },
      { name: rival, run: async () => void (await Promise.all(Array.from({ length: BURST }, () => crun.run()))) },
    ],
  });
}

async function memory(image: Image): Promise<void> {
  const counts = [1, 5, 10, 20];
  await benchmark({
    name: "pool-memory",
    title: `Memory of its own of each idle VM of ${image.memoryMiB} MiB`,
    unit: "MiB",
    runs: 3,
    warmups: 0,
    cases: counts.map((count) => ({ name: `${count} idle`, target: 45, run: () => privateMemory(image, count) })),
  });
}

async function acquireOnly(pool: Pool): Promise<number> {
  const started = performance.now();
  await using _vm = await pool.acquire();
  return performance.now() - started;
}

async function cycle(pool: Pool): Promise<void> {
  await using vm = await pool.acquire();
  await vm.run(["true"]);
}

async function empty(image: Image): Promise<number> {
  await using pool = image.pool();
  const first = await pool.acquire();
  // While the pool holds something, it keeps a spare.
  await sleep(500);
  const started = performance.now();
  const second = await pool.acquire();
  await second.run(["true"]);
  const elapsed = performance.now() - started;
  await Promise.all([first.release(), second.release()]);
  return elapsed;
}

async function burstTimes(image: Image): Promise<number[]> {
  await using pool = image.pool({ max: BURST });
  const started = performance.now();
  const times: number[] = [];
  const vms = Array.from({ length: BURST }, async () => {
    const vm = await pool.acquire();
    await vm.run(["true"]);
    times.push(performance.now() - started);
  });
  await Promise.all(vms);
  return times;
}

/** MiB per VM that no other process shares. */
async function privateMemory(image: Image, count: number): Promise<number> {
  await using pool = image.pool({ min: count });
  await filled(pool, count);
  const vms = await Promise.all(Array.from({ length: count }, () => pool.acquire()));
  const usages = await Promise.all(vms.map((vm) => vm.memory()));
  return usages.reduce((sum, { privateBytes }) => sum + privateBytes, 0) / 2 ** 20 / count;
}

async function isolationOf(pool: Pool): Promise<string> {
  await using vm = await pool.acquire();
  return vm.isolation;
}

/** Waits until so many VMs idle and nothing more is prepared. */
async function filled(pool: Pool, idle: number): Promise<void> {
  for (;;) {
    const stats = pool.stats();
    if (stats.idle >= idle && stats.starting === 0) break;
    await sleep(5);
  }
  await settled();
}

/** Waits until the pool's own work in the background is done. */
async function quiet(pool: Pool): Promise<void> {
  await filled(pool, pool.stats().min);
}

/** Waits until the spare that the last restore took has been replaced: no child is started for a while. */
async function settled(): Promise<void> {
  for (let before = -1, now = children(); now !== before; now = children()) {
    before = now;
    await sleep(100);
  }
}

function children(): number {
  const tasks = readdirSync("/proc/self/task");
  return tasks.flatMap((task) => readFileSync(`/proc/self/task/${task}/children`, "utf8").match(/\d+/g) ?? []).length;
}
