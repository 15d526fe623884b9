import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type HttpEdge, Image, serve, type Vm } from "../src/index.js";
import { servicesImage } from "../test/support/images.js";
import { benchmark } from "./support/benchmark.js";

const run = promisify(execFile);
const CONNECTIONS = 16;
const SECONDS = 2;
const RIVAL = "nginx through vm.exposeTcp";
const CLI = join(import.meta.dirname, "../dist/cli/main.js");
const NGINX = ["mkdir -p /var/log/nginx; exec nginx -g 'daemon off;'"];
const DETACHED = "bench-detached";

await main();

/** The same nginx in the same microVM, through the edge and through a port that is merely exposed. */
async function main(): Promise<void> {
  const { archive } = await servicesImage();
  const image = await Image.fromOci(`oci-archive:${archive}`, {
    entrypoint: ["sh", "-c", ...NGINX],
    ...{ cmd: [], ready: "listener", guestPort: 80 },
  });
  const vms: Vm[] = [];
  await using edge = await serve(image, { port: 0, onVm: (vm) => void vms.push(vm) });
  await edge.untilReady();
  const [vm] = vms;
  if (!vm) throw new Error("the edge has no microVM");
  const exposed = await vm.exposeTcp({ guestPort: 80 });
  const direct = `http://127.0.0.1:${exposed.hostPort}/`;
  await throughput(edge.url(), direct, vm.isolation);
  await latency(edge.url(), direct, vm.isolation);
  await wake(image, vm.isolation);
  await detached(image, `oci-archive:${archive}`, vm.isolation);
}

/** wrk counts; fewer is better in a table of times, so this is the time of a request while all connections are busy. */
async function throughput(edge: string, direct: string, isolation: string): Promise<void> {
  const perRequest = async (url: string) => 1_000 / (await wrk(url, CONNECTIONS)).perSecond;
  await benchmark({
    name: "edge-throughput",
    title: `Time per request with ${CONNECTIONS} connections (wrk, ${SECONDS} s each), isolation ${isolation}`,
    rival: RIVAL,
    runs: 7,
    cases: [
      { name: "nginx through the edge", run: () => perRequest(edge) },
      { name: RIVAL, run: () => perRequest(direct) },
    ],
  });
}

async function latency(edge: string, direct: string, isolation: string): Promise<void> {
  await benchmark({
    name: "edge-latency",
    title: `Median time of a request on one connection (wrk, ${SECONDS} s each), isolation ${isolation}`,
    rival: RIVAL,
    runs: 7,
    cases: [
      { name: "nginx through the edge", run: async () => (await wrk(edge, 1)).p50 },
      { name: RIVAL, run: async () => (await wrk(direct, 1)).p50 },
    ],
  });
}

/** From a request to its answer, when no microVM is there. */
async function wake(image: Image, isolation: string): Promise<void> {
  await using edge = await serve(image, { port: 0, idleTimeoutMs: 50, stopGraceMs: 0 });
  const state = () => edge.health().services[0]?.state;
  await benchmark({
    name: "edge-wake",
    title: `A request that wakes its microVM, isolation ${isolation}`,
    cases: [
      {
        name: "until the whole answer is there",
        target: 250,
        before: () => asleep(state),
        run: async () => void (await (await fetch(edge.url())).text()),
      },
    ],
  });
  await edge.close({ graceMs: 0 });
}

/**
 * The built command line, until it has printed the address, and one request: what a user waits for. A server that listens in the snapshot,
 * however that is named, only has to be restored; one that starts afresh has its own start in the way.
 */
async function detached(image: Image, reference: string, isolation: string): Promise<void> {
  const command = async (...args: string[]) => (await run(process.execPath, [CLI, ...args])).stderr;
  const before = async () => void (await command("rm", "--force", DETACHED).catch(() => undefined));
  const answered = async (...what: string[]) => {
    const said = await command("run", "-q", "-d", "--name", DETACHED, "--http-port", "0", ...what);
    const [, port] = /localhost:(\d+) is port/.exec(said) ?? [];
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    if (answer.status !== 200) throw new Error(await answer.text());
    await answer.text();
  };
  const nginx = ["-p", "80", "--entrypoint", "sh", reference, "--", "-c", ...NGINX];
  await benchmark({
    name: "edge-detached",
    title: `A detached run of an image that is baked, until its first answer, isolation ${isolation}`,
    cases: [
      { name: "nginx listens in the snapshot", target: 400, before, run: () => answered(image.name) },
      {
        name: "nginx listens in the snapshot of an image and a command",
        target: 400,
        before,
        run: () => answered(...nginx),
      },
      {
        name: "nginx is started afresh",
        before,
        run: () => answered("--server-ready", "before-workload", ...nginx),
      },
    ],
  });
  await before();
}

async function asleep(
  state: () => ReturnType<HttpEdge["health"]>["services"][number]["state"] | undefined,
): Promise<void> {
  while (state() !== "asleep") await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 500));
}

async function wrk(url: string, connections: number): Promise<{ perSecond: number; p50: number }> {
  const { stdout } = await run("wrk", ["-t1", `-c${connections}`, `-d${SECONDS}s`, "--latency", url]);
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  const [, amount, unit = ""] = /50%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [];
  return { perSecond, p50: Number(amount) * ({ us: 0.001, ms: 1, s: 1_000 }[unit] ?? Number.NaN) };
}
