import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Image, type Vm } from "../src/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark, percentile } from "./support/benchmark.js";
import { PlainGuest } from "./support/plain-guest.js";

const [MEMORY_MIB, MEGABYTES, CONNECTIONS, COMMANDS, ROUNDS] = [512, 64, 200, 40, 6];
const bytes = MEGABYTES * 2 ** 20;
/** The host for a guest, for ours as for QEMU's user networking. */
const HOST = "10.0.2.2";
const SOURCE = join(import.meta.dirname, "support/network-load.c");
const RIVAL = "QEMU's user networking (slirp)";

/** Runs the load's program in a guest with these arguments, and gives the milliseconds it took there. */
type Load = (...args: string[]) => Promise<number>;

await main();

/** What a guest's network costs: all traffic goes to a server on this machine's loopback. */
async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  const program = join(folder, "network-load");
  execFileSync("cc", ["-std=gnu11", "-O2", "-static", "-pthread", "-o", program, SOURCE]);
  const server = spawn(program, ["serve"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = (await once(server.stdout, "data")) as [Buffer];
    const port = String(Number(line.toString()));
    const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`, { memoryMiB: MEMORY_MIB });
    await using vm = await image.start({ egress: { allow: ["host.supermachine.internal"] } });
    await vm.writeFile("/bin/network-load", readFileSync(program), { mode: 0o755 });
    await using rival = await plainGuest(program);
    const ours: Load = async (mode, ...rest) =>
      result((await vm.run(["network-load", mode!, HOST, port, ...rest])).stdout);
    const slirp: Load = async (mode, ...rest) =>
      result(await rival.run(["network-load", mode, HOST, port, ...rest].join(" ")));
    await throughput(vm, ours, slirp);
    await connections(vm, ours, slirp);
    await latency(vm, port);
  } finally {
    server.kill();
    rmSync(folder, { recursive: true });
  }
}

/** The same kernel and processor, with a network card that QEMU itself serves. */
function plainGuest(program: string): Promise<PlainGuest> {
  return PlainGuest.start({
    kernelPackage: "linux-image-cloud-amd64",
    modules: ["virtio_pci", "virtio_net"],
    memoryMiB: MEMORY_MIB,
    device: ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="],
    files: [{ path: "bin/network-load", mode: 0o100755, content: readFileSync(program) }],
    setUp: [
      "ip link set lo up",
      "ip link set eth0 up",
      "ip address add 10.0.2.15/24 dev eth0",
      "ip route add default via 10.0.2.2",
    ],
  });
}

async function throughput(vm: Vm, ours: Load, slirp: Load): Promise<void> {
  const ways: [string, Load, string][] = [
    ["guest to host", ours, "up"],
    ["host to guest", ours, "down"],
    ["there and back at once (each way)", ours, "echo"],
  ];
  await benchmark({
    name: "network",
    title: `${MEGABYTES} MiB by TCP between a guest and this machine's loopback (target: 60 MB/s), isolation ${vm.isolation}`,
    runs: ROUNDS,
    cases: [
      ...ways.map(([name, load, mode]) => ({ name, bytes, run: () => load(mode, String(bytes)) })),
      { name: "output of a command, for comparison", bytes, run: () => output(vm) },
      ...ways.map(([name, , mode]) => ({ name: `${RIVAL}: ${name}`, bytes, run: () => slirp(mode, String(bytes)) })),
    ],
  });
}

async function connections(vm: Vm, ours: Load, slirp: Load): Promise<void> {
  const perSecond = (load: Load, atOnce: number) => async () =>
    (CONNECTIONS * 1000) / (await load("connect", String(CONNECTIONS), String(atOnce)));
  await benchmark({
    name: "connections",
    title: `New connections a second (target: 100; more is better), isolation ${vm.isolation}`,
    unit: "1/s",
    runs: ROUNDS,
    cases: [
      { name: "one after the other", run: perSecond(ours, 1) },
      { name: "10 at once", run: perSecond(ours, 10) },
      { name: `${RIVAL}: one after the other`, run: perSecond(slirp, 1) },
      { name: `${RIVAL}: 10 at once`, run: perSecond(slirp, 10) },
    ],
  });
}

/** How long a command takes meanwhile. Of a round with fewer commands the 95th percentile would be the slowest of them. */
async function latency(vm: Vm, port: string): Promise<void> {
  const speeds = new Map<string, number[]>();
  const meanwhile = (name: string, mode: string, counter: "tx" | "rx") => ({
    name,
    target: 20,
    run: async () => {
      await using flow = await endlessFlow(vm, port, mode);
      const [before, started] = [await countedBytes(vm, counter), performance.now()];
      const samples = await commandTimes(vm);
      const speed = ((await countedBytes(vm, counter)) - before) / 1e3 / (performance.now() - started);
      speeds.set(name, [...(speeds.get(name) ?? []), speed]);
      if (flow.over()) throw new Error("the bytes did not flow all the time");
      return percentile(samples, 95);
    },
  });
  await benchmark({
    name: "network-latency",
    title: `run true while bytes flow by TCP: the 95th percentile of ${COMMANDS} commands, isolation ${vm.isolation}`,
    runs: ROUNDS,
    cases: [
      { name: "nothing flows", run: async () => percentile(await commandTimes(vm), 95) },
      meanwhile("guest to host", "up", "tx"),
      meanwhile("host to guest", "down", "rx"),
      meanwhile("there and back at once", "echo", "rx"),
    ],
    facts: async () =>
      Object.fromEntries([...speeds].map(([name, all]) => [`${name}, MB/s meanwhile`, percentile(all, 50).toFixed(0)])),
  });
}

/** Bytes of a connection of the guest that flow until it is disposed of. */
async function endlessFlow(vm: Vm, port: string, mode: string): Promise<AsyncDisposable & { over: () => boolean }> {
  const load = await vm.exec(["network-load", mode, HOST, port, String(2 ** 50)]);
  let over = false;
  const end = load.wait().finally(() => {
    over = true;
  });
  // It has to be dialed, and windows and buffers are to be as they are in a long transfer.
  await sleep(200);
  return {
    over: () => over,
    async [Symbol.asyncDispose]() {
      load.kill("SIGKILL");
      await end;
    },
  };
}

/** What the guest's network card has received or sent. */
async function countedBytes(vm: Vm, counter: "tx" | "rx"): Promise<number> {
  return Number((await vm.run(["cat", `/sys/class/net/eth0/statistics/${counter}_bytes`])).stdout);
}

async function commandTimes(vm: Vm): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < COMMANDS; i++) {
    const started = performance.now();
    await vm.run(["true"]);
    samples.push(performance.now() - started);
    await sleep(20);
  }
  return samples;
}

async function output(vm: Vm): Promise<void> {
  const process = await vm.exec(["dd", "if=/dev/zero", "bs=1M", `count=${MEGABYTES}`]);
  process.stderr.resume();
  process.stdout.resume();
  await process.wait();
}

function result(stdout: string): number {
  const ms = Number(stdout.trim());
  if (!(ms > 0)) throw new Error(`the load said: ${stdout}`);
  return ms;
}
