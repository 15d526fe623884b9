import { randomBytes } from "node:crypto";
import { Image, type Vm } from "../src/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark } from "./support/benchmark.js";
import { RuncContainer } from "./support/runc.js";

const MEGABYTES = 64;
const bytes = MEGABYTES * 2 ** 20;

await main();

/** What talking to a running guest costs. */
async function main(): Promise<void> {
  // Files are written to memory: the content, and once more while it is replaced.
  const { archive, layout } = await busyboxImage();
  const image = await Image.fromOci(`oci-archive:${archive}`, { memoryMiB: 1024 });
  await using vm = await image.start();
  await using container = await RuncContainer.open(layout);
  await container.start();
  for (let i = 0; i < 50; i++) await vm.run(["true"]);
  await benchmark({
    name: "exec",
    title: `Commands in a warm guest, isolation ${vm.isolation}`,
    rival: "runc exec true (a container, no isolation of the kernel)",
    runs: 50,
    cases: [
      { name: "run true (mean of 10 in a row)", target: 5, run: () => inARow(vm) },
      { name: "run true, 10 at once", run: async () => void (await Promise.all(tenTimes(() => vm.run(["true"])))) },
      { name: "runc exec true (a container, no isolation of the kernel)", run: () => container.exec(["true"]) },
    ],
  });
  await streams(vm);
}

async function streams(vm: Vm): Promise<void> {
  const content = randomBytes(bytes);
  await vm.writeFile("/tmp/content", content);
  await benchmark({
    name: "streams",
    title: `Streams of ${MEGABYTES} MiB between host and guest (target: 60 MB/s)`,
    runs: 10,
    cases: [
      { name: "guest to host: output of a command", bytes, run: () => output(vm) },
      { name: "guest to host: readFile", bytes, run: async () => void (await vm.readFile("/tmp/content")) },
      { name: "host to guest: writeFile", bytes, run: () => vm.writeFile("/tmp/content", content) },
      { name: "run true while a file is read", target: 20, run: () => interactive(vm) },
    ],
  });
}

async function output(vm: Vm): Promise<void> {
  const process = await vm.exec(["dd", "if=/dev/zero", "bs=1M", `count=${MEGABYTES}`]);
  process.stderr.resume();
  process.stdout.resume();
  await process.wait();
}

/** The latency of a small command on the control port while the bulk port is busy. */
async function interactive(vm: Vm): Promise<number> {
  const reading = vm.readFile("/tmp/content");
  const started = performance.now();
  const process = await vm.exec(["true"]);
  await process.wait();
  const elapsed = performance.now() - started;
  await reading;
  return elapsed;
}

/** One alone would measure how cold the rival's run left the processor's caches. */
async function inARow(vm: Vm): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < 10; i++) await vm.run(["true"]);
  return (performance.now() - started) / 10;
}

function tenTimes<T>(make: () => T): T[] {
  return Array.from({ length: 10 }, make);
}
