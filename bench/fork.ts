import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Image, type Vm } from "../src/index.js";
import { openRuntime, type Runtime } from "../src/machine/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark } from "./support/benchmark.js";
import { PlainQemu } from "./support/plain-qemu.js";

const CLONES = 10;
const DEPTH = 5;
const MEMORY_MIB = 256;
const RIVAL = `QEMU migrate to a file, ${CLONES} restored from it`;

await main();

/** What it takes to have ten copies of a running guest, each of which has answered; and that depth costs nothing. */
async function main(): Promise<void> {
  const runtime = await openRuntime();
  const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  const file = join(folder, "migrated");
  const line = await lineOfForks(image);
  await using plain = await PlainQemu.boot(runtime, MEMORY_MIB);
  const [first, last] = [line[0] as Vm, line.at(-1) as Vm];
  try {
    await benchmark({
      name: "fork",
      title: `Forks of a running guest of ${image.memoryMiB} MiB, isolation by ${runtime.accelerator}`,
      rival: RIVAL,
      runs: 10,
      cases: [
        { name: "source stands still", target: 30, run: () => forkOnce(first, 1, "paused") },
        { name: "fork of 1", run: () => forkOnce(first, 1, "all") },
        { name: `fork of 1, of a fork ${DEPTH} deep`, run: () => forkOnce(last, 1, "all") },
        { name: `fork of ${CLONES}`, run: () => forkOnce(first, CLONES, "all") },
        { name: `fork of ${CLONES} to the first command's answers`, run: () => forkAndRun(first) },
        { name: RIVAL, run: () => migrateAndRestore(runtime, plain, file) },
      ],
      facts: async () => ({
        "guest's own pages, source": mebibytes((await first.memory()).guestPrivateBytes),
        [`guest's own pages, fork ${DEPTH} deep`]: mebibytes((await last.memory()).guestPrivateBytes),
      }),
    });
  } finally {
    await Promise.all(line.map((vm) => vm[Symbol.asyncDispose]()));
    rmSync(folder, { recursive: true });
  }
}

/** A VM, its fork, a fork of that, and so on. */
async function lineOfForks(image: Image): Promise<Vm[]> {
  const line = [await image.start()];
  for (let depth = 0; depth < DEPTH; depth++) {
    const { vms, failures } = await (line.at(-1) as Vm).fork();
    for (const { error } of failures) throw error;
    line.push(...vms);
  }
  return line;
}

async function forkOnce(vm: Vm, count: number, part: "all" | "paused"): Promise<number> {
  const started = performance.now();
  await using fork = await vm.fork({ count });
  const elapsed = performance.now() - started;
  if (fork.failures.length > 0) throw fork.failures[0]?.error;
  return part === "all" ? elapsed : fork.pausedMs;
}

async function forkAndRun(vm: Vm): Promise<number> {
  const started = performance.now();
  await using fork = await vm.fork({ count: CLONES });
  await Promise.all(fork.vms.map((clone) => clone.run(["true"])));
  return performance.now() - started;
}

/** All at a time, as ours. */
async function migrateAndRestore(runtime: Runtime, plain: PlainQemu, file: string): Promise<number> {
  const started = performance.now();
  await plain.save(file);
  const clones = await Promise.all(Array.from({ length: CLONES }, () => PlainQemu.restore(runtime, MEMORY_MIB, file)));
  const elapsed = performance.now() - started;
  await Promise.all(clones.map((clone) => clone[Symbol.asyncDispose]()));
  rmSync(file);
  return elapsed;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
