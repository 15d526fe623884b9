import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { home, type ProcessInfo, type VmEvent, type VmRecord, type VmStats } from "../../src/index.js";
import { cli, inspect, json, removeAll, until } from "../support/detached.js";
import { busyboxImage } from "../support/images.js";
import { Tmux } from "../support/tmux.js";

/** A web server that is well while /healthy is there, and says goodbye to SIGUSR1. */
const SERVER = `trap 'echo bye; exit 9' USR1
mkdir /srv; echo page > /srv/index.html; touch /healthy; echo serving >&2
httpd -p 80 -h /srv; while :; do sleep 0.1; done`;

let busybox: string;
let folder: string;
const begin = new Date().toISOString();
const file = (name: string) => join(folder, name);
const run = (name: string, ...args: string[]) => cli("run", "-d", "-q", "--name", name, ...args);
/** The same, whatever an earlier try has left under that name. */
const runAnew = async (name: string, ...args: string[]) => {
  await cli("rm", "--force", name);
  return run(name, ...args);
};
const get = async (port: number | undefined) => (await fetch(`http://127.0.0.1:${port}/`)).text();
const portOf = async (name: string) => (await inspect(name)).ports?.[0]?.hostPort;

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
  folder = mkdtempSync(join(tmpdir(), "supermachine-services-"));
});

afterAll(async () => {
  await removeAll();
  rmSync(folder, { recursive: true });
});

describe("a service", () => {
  let port: number | undefined;

  beforeAll(async () => {
    // The number in it belongs to another process by now.
    writeFileSync(file("pid"), `${process.pid}\n`);
    const ready = ["-p", "80", "--probe-path", "/index.html", "--ready-timeout-ms", "30000", "--port", "80"];
    const health = ["--health-cmd", "test -e /healthy", "--health-interval", "300ms", "--health-retries", "2"];
    const more = ["--health-timeout", "10s", "--health-start-period", "1s", "--label", "tier=front"];
    const files = ["--pid-file", file("pid"), "--log-file", file("log")];
    const stop = ["--stop-signal", "USR1", "--stop-grace", "20", "--restart", "unless-stopped"];
    const options = [...ready, ...health, ...more, ...files, ...stop];
    const { stdout, stderr } = await run("web", ...options, busybox, "--", "sh", "-c", SERVER);
    expect({ stdout, stderr }).toMatchObject({
      stdout: "web",
      stderr: expect.stringMatching(/127\.0\.0\.1:\d+ is tcp/),
    });
    port = await portOf("web");
  });

  test("answers as soon as the command returns, and is found by its port, image or name", async () => {
    expect(await get(port)).toBe("page\n");
    expect((await cli("port", "web", "--port", "80")).stdout).toBe(`127.0.0.1:${port}`);
    for (const target of [`${port}`, busybox, busybox.slice(0, -4), "we"])
      expect((await cli("port", target)).stdout).toBe(`80/tcp -> 127.0.0.1:${port}`);
    expect((await cli("run", "--connect", busybox, "--", "echo", "hi")).stdout).toBe("hi");
  });

  test("is listed with its ports, health and figures, and as what a filter chooses", async () => {
    await until(async () => (await inspect("web")).health?.status === "healthy");
    expect((await cli("ps")).stdout).toMatch(/\nweb .* up \d+ s .*healthy .*->80 .*% .*MiB {2}sh -c/);
    const names = async (...filter: string[]) => (await cli("ps", "-q", ...filter)).stdout;
    expect(await names("--filter", "label=tier=front", "--filter", "status=running")).toBe("web");
    expect(await names("--filter", "label=tier=back")).toBe("");
    const [stats] = await json<(VmStats & { cpu: number })[]>("stats", "--json", "web");
    expect(stats?.memoryBytes).toBeGreaterThan(1e6);
    expect(stats?.cpu).toBeGreaterThanOrEqual(0);
    expect((await cli("stats", "--no-stream")).stdout).toMatch(/^NAME .*\nweb .*256 MiB/);
    expect((await json<ProcessInfo[]>("top", "--json")).map(({ name }) => name)).toContain("httpd");
    expect((await cli("top")).stdout).toMatch(/ httpd -p 80 -h \/srv/);
  });

  test("that is not well shows as that, runs on, and recovers", async () => {
    await cli("exec", "web", "--", "rm", "-f", "/healthy");
    await until(async () => (await inspect("web")).health?.status === "unhealthy");
    expect(await inspect("web")).toMatchObject({ status: "running", restarts: 0, health: { exitCode: 1 } });
    await cli("exec", "web", "--", "touch", "/healthy");
    await until(async () => (await inspect("web")).health?.status === "healthy");
  });

  test("is paused and goes on", async () => {
    // An earlier try may have left it paused.
    await cli("resume", "web");
    expect((await cli("pause", "web")).stdout).toBe("web");
    expect((await inspect("web")).status).toBe("paused");
    const { stderr, exitCode } = await cli("exec", "web", "--", "true");
    expect({ stderr, exitCode }).toMatchObject({ stderr: expect.stringContaining("is paused"), exitCode: 1 });
    expect((await cli("resume", "web")).stdout).toBe("web");
    expect(await get(port)).toBe("page\n");
    await cli("pause");
    expect((await cli("unpause")).stdout).toBe("web");
    expect((await inspect("web")).status).toBe("running");
  });

  test("has forks with a name, a port and a host name of their own, and snapshots that can be run", async () => {
    await cli("exec", "web", "--", "sh", "-c", "echo changed > /srv/index.html");
    await cli("rm", "--force", "web-2", "web-3", "web-4");
    const forked = await cli("fork", "web", "--name", "web-2", "--name", "web-3");
    expect(forked.stdout).toBe("web-2\nweb-3");
    await cli("rmi", "warm");
    const snapshot = await cli("snapshot", "web", "--name", "warm");
    await cli("exec", "web", "--", "sh", "-c", "echo page > /srv/index.html");
    expect(snapshot.stdout).toBe(join(home().snapshots, "warm"));
    expect((await run("web-4", "-p", "80", "warm")).stdout).toBe("web-4");
    for (const name of ["web-2", "web-3", "web-4"]) {
      expect(await portOf(name)).not.toBe(port);
      expect(await get(await portOf(name))).toBe("changed\n");
    }
    expect((await cli("exec", "web-2", "--", "hostname")).stdout).toBe("web-2");
    expect((await cli("stats", "--no-stream", "nothing")).stderr).toContain("no VM");
    expect((await cli("stop", "web-")).stderr).toMatch(/web- can be web-2 .*, web-3 .*, web-4/);
    expect((await cli("fork", "web", "--name", "web-2")).stderr).toContain("is running");
    // Their workloads go on: they get the signal that the source's would.
    await cli("stop", "web-2");
    expect(await inspect("web-2")).toMatchObject({ status: "exited", exitCode: 9 });
    expect((await cli("logs", "web-2")).stdout).toBe("bye");
    await cli("rm", "--force", "web-2", "web-3", "web-4");
    await cli("rmi", "warm");
  });

  test("is watched in a terminal until Ctrl-C", async () => {
    await using terminal = await Tmux.start();
    await terminal.resize(110, 24);
    for (const command of ["ps --watch", "stats"]) {
      await terminal.line(`clear; node dist/cli/main.js ${command}; echo code=$?`);
      await terminal.see(/^NAME .*\nweb .*MiB/);
      expect(await terminal.variable("cursor_flag")).toBe("0");
      await terminal.keys("C-c");
      await terminal.see("code=0");
      expect(await terminal.variable("cursor_flag")).toBe("1");
    }
    await terminal.line("clear; node dist/cli/main.js logs -f web; echo code=$?");
    await terminal.see("serving");
    await terminal.keys("C-c");
    await terminal.see("code=0");
  });

  test("holds its pid file, ends by its stop signal, and starts again on the same port", async () => {
    const starts = async () => (await cli("logs", "web")).stderr.match(/serving/g)?.length ?? 0;
    const before = await starts();
    expect(Number(readFileSync(file("pid"), "utf8"))).toBe((await inspect("web")).pid);
    expect((await run("other", "--pid-file", file("pid"), busybox, "--", "true")).stderr).toContain(
      "that of the VM web",
    );
    expect((await cli("run", "--stop", busybox)).stdout).toBe("web");
    expect(await inspect("web")).toMatchObject({ status: "exited", exitCode: 9, restarts: 0 });
    expect(existsSync(file("pid"))).toBe(false);
    expect(readFileSync(file("log"), "utf8")).toMatch(/^serving\n[\s\S]*bye\n/);
    expect((await cli("wait", "web")).stdout).toBe("9");
    expect((await cli("start", "web")).stdout).toBe("web");
    expect(await get(port)).toBe("page\n");
    expect((await cli("restart", "--time", "1", "web")).stdout).toBe("web");
    expect(await get(port)).toBe("page\n");
    expect(await starts()).toBe(before + 2);
  });

  test("has told what happened to it, and what it wanted to reach", async () => {
    await cli("exec", "web", "--", "wget", "-q", "http://10.1.2.3/");
    const text = (await cli("events", "--since", begin, "--no-follow", "--json", "web")).stdout;
    const events = text.split("\n").map((line) => JSON.parse(line) as VmEvent);
    const kinds = new Set(events.map(({ event }) => event));
    for (const kind of ["start", "ready", "health", "pause", "resume", "fork", "snapshot", "stop", "die", "egress"])
      expect(kinds).toContain(kind);
    const egress = events.find(({ event }) => event === "egress");
    expect(egress?.details).toMatchObject({ allowed: false, address: "10.1.2.3", port: 80 });
    expect(events.find(({ event }) => event === "die")?.details).toMatchObject({ exitCode: 9 });
    expect((await cli("events", "--since", begin, "--no-follow")).stdout).toMatch(/ web health status=unhealthy\n/);
  });
});

describe("a start that fails is told with what the workload wrote, and leaves nothing", () => {
  const nothingLeft = async (name: string) => expect(existsSync(join(home().vms, name))).toBe(false);

  test("when the workload ends before it listens, or fails at once without a port", async () => {
    const early = await run(
      "early",
      "-p",
      "80",
      busybox,
      "--",
      "sh",
      "-c",
      "echo starting; echo no config >&2; exit 3",
    );
    expect(early).toMatchObject({ exitCode: 1, stdout: "" });
    expect(early.stderr).toMatch(/ended with exit code 3 before it answered on port 80; its last output:\n/);
    expect(early.stderr).toContain("no config");
    await nothingLeft("early");
    const tryWrong = () => runAnew("wrong", "--rm", busybox, "--", "sh", "-c", "echo typo; exit 4");
    let wrong = await tryWrong();
    // On a busy machine a command may once fail later than at once.
    for (let more = 5; more > 0 && wrong.exitCode === 0; more--) wrong = await tryWrong();
    expect(wrong).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/exit code 4[\s\S]*typo/) });
    await nothingLeft("wrong");
  });

  test("when it never listens, or does not answer the probe with 200", async () => {
    const deaf = await run(
      "deaf",
      "--port",
      "80",
      "--ready-timeout-ms",
      "2500",
      busybox,
      "--",
      "sh",
      "-c",
      "echo hm; sleep 100",
    );
    expect(deaf).toMatchObject({ exitCode: 1 });
    expect(deaf.stderr).toMatch(/deaf was not ready[\s\S]*hm/);
    await nothingLeft("deaf");
    const probe = ["-p", "80", "--probe-path", "/missing", "--ready-timeout-ms", "6000"];
    const { stderr } = await run("blank", ...probe, busybox, "--", "httpd", "-f", "-p", "80", "-h", "/tmp");
    expect(stderr).toContain("port 80 answered GET /missing with 404, not 200");
    await nothingLeft("blank");
  });

  test("when the port on the host is taken, or nothing is baked and nothing may be", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await using _server = server;
    await until(async () => server.listening);
    const { port } = server.address() as { port: number };
    const { stderr, exitCode } = await run("second", "-p", `${port}:80`, busybox, "--", "sleep", "100");
    expect({ stderr, exitCode }).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(`port ${port}`) });
    await nothingLeft("second");
    const unbaked = await run("third", "--no-bake", "--memory", "777M", busybox, "--", "true");
    expect(unbaked).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("there is no snapshot") });
  });
});

test("a guest that ran out of memory shows that", async () => {
  await runAnew("hog", busybox, "--", "sh", "-c", "sleep 1; tail /dev/zero");
  const { stdout } = await cli("wait", "hog");
  expect(await inspect("hog")).toMatchObject({ status: "exited", exitCode: 137, outOfMemory: true });
  expect(stdout).toBe("137");
});

test("a disk that is full of logs, and a damaged record, harm no VM", async () => {
  await runAnew("chatty", "--log-file", "/dev/full", busybox, "--", "sh", "-c", "echo a; echo b; exec sleep 1000");
  await until(async () => ((await inspect("chatty")).lostOutputBytes ?? 0) >= 4);
  expect((await cli("logs", "--tail", "1", "chatty")).stdout).toBe("b");
  writeFileSync(join(home().vms, "chatty", "record.json"), "{");
  expect((await cli("exec", "chatty", "--", "echo", "fine")).stdout).toBe("fine");
  process.kill((await inspect("chatty")).pid, "SIGKILL");
  await until(async () => (await cli("ps", "-q", "--filter", "name=chatty")).stdout === "");
  const [record] = await json<VmRecord[]>("ps", "--all", "--json", "--filter", "name=chatty");
  expect(record).toMatchObject({ status: "failed", error: expect.stringContaining("record.json is damaged") });
  expect((await cli("rm", "chatty")).stdout).toBe("chatty");
});
