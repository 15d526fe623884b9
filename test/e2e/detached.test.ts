import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, expect, test } from "vitest";
import { home } from "../../src/index.js";
import { CLI, cli, inspect, removeAll, until } from "../support/detached.js";
import { busyboxImage } from "../support/images.js";
import { litter, remainingWorkers } from "../support/leftovers.js";

let busybox: string;

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
});

afterEach(removeAll);

function homeOf(pid: string): string | undefined {
  try {
    return /SUPERMACHINE_HOME=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8"))?.[1];
  } catch {
    // It ended meanwhile.
    return undefined;
  }
}

test("a VM in the background is listed, entered, read and stopped by other commands", async () => {
  const script = "trap 'echo bye; exit 7' TERM; echo hello; echo oops >&2; while :; do sleep 0.1; done";
  expect((await cli("run", "-d", "--name", "web", "-l", "a=b", busybox, "--", "sh", "-c", script)).stdout).toBe("web");
  expect((await cli("ps")).stdout).toMatch(/^NAME.*\nweb .* up \d+ s/);
  expect(await inspect("web")).toMatchObject({ status: "running", labels: { a: "b" }, isolation: "emulated (tcg)" });

  await execa("node", [CLI, "exec", "-i", "web", "--", "sh", "-c", "cat > /tmp/x"], { input: "from outside" });
  const { stdout, exitCode } = await cli(
    "exec",
    "-e",
    "A=1",
    "-w",
    "/tmp",
    "-u",
    "app",
    "--",
    "sh",
    "-c",
    "cat x; echo $A; id -un; exit 3",
  );
  expect({ stdout, exitCode }).toEqual({ stdout: "from outside1\napp", exitCode: 3 });
  expect((await cli("exec", "web", "--", "missing")).exitCode).toBe(127);
  expect((await cli("exec", "web")).exitCode).toBe(2);

  expect((await cli("run", "-d", "--name", "web", busybox, "--", "true")).stderr).toContain(
    "a VM with the name web is running",
  );
  expect((await cli("stop", "we")).stdout).toBe("web");
  expect(await inspect("web")).toMatchObject({ status: "exited", exitCode: 7 });
  const logs = await cli("logs", "web");
  expect([logs.stdout, logs.stderr]).toEqual(["hello\nbye", expect.stringMatching(/^oops/)]);
  expect((await cli("logs", "--since", "1h", "--tail", "2", "web")).stdout).toMatch(/bye$/);
  expect((await cli("exec", "web", "--", "true")).exitCode).toBe(2);
});

async function supervisors(): Promise<string[]> {
  const { stdout } = await execa("pgrep", ["-f", "supervisor-main"], { reject: false });
  return stdout.split("\n").filter((pid) => pid !== "" && homeOf(pid) === home().root);
}

test("an image that cannot be opened leaves no supervisor that waits for it", async () => {
  const { exitCode, stderr } = await cli("run", "-d", "--name", "none", "oci-archive:/no/such/file.tar");
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("/no/such/file.tar")]);
  expect(litter()).toEqual([]);
  await until(async () => (await supervisors()).length === 0);
});

test("nor does a command line that only looks as if it wanted one, or that is wrong", async () => {
  const script = "echo; sleep 1000";
  const attached = execa("node", [CLI, "run", "-q", busybox, "sh", "-c", script, "-d"], { reject: false });
  await once(attached.stdout, "data");
  await until(async () => (await supervisors()).length === 0);
  attached.kill("SIGINT");
  await attached;
  expect((await cli("run", "-dit", busybox)).exitCode).toBe(2);
  expect((await cli("run", "-d", "--help")).stdout).toMatch(/^Usage/);
  const killed = execa("node", [CLI, "run", "-d", "--pull", "always", "127.0.0.1:1/image"], { reject: false });
  killed.kill("SIGKILL");
  await killed;
  await until(async () => (await supervisors()).length === 0);
});

test("what a VM has written becomes an image by commit", async () => {
  await cli("run", "-d", "--name", "source", busybox, "--", "sleep", "1000");
  await cli("exec", "source", "--", "sh", "-c", "echo kept > /kept");
  const committed = await cli("commit", "-q", "--change", 'CMD ["cat", "/kept"]', "source", "detached-committed");
  expect(committed).toMatchObject({ exitCode: 0, stdout: "detached-committed" });
  expect(await cli("run", "detached-committed")).toMatchObject({ exitCode: 0, stdout: "kept" });
  expect((await cli("rmi", "detached-committed")).exitCode).toBe(0);
});

test("a command that ignores SIGTERM is killed after the grace, and logs -f ends with it", async () => {
  await cli(
    "run",
    "-d",
    "--name",
    "deaf",
    "--stop-grace",
    "0.3",
    busybox,
    "--",
    "sh",
    "-c",
    "trap '' TERM; echo up; while :; do sleep 0.1; done",
  );
  const following = cli("logs", "--follow", "deaf");
  // Only then does it ignore the signal.
  await until(async () => (await cli("logs", "deaf")).stdout === "up");
  await cli("stop", "deaf");
  expect(await inspect("deaf")).toMatchObject({ status: "exited", exitCode: 137 });
  expect((await following).stdout).toBe("up");
});

test("a workload that fails is restarted, as often as was asked, in a fresh VM", async () => {
  // A fresh VM has no such file.
  const script = "test -e /seen && echo again; touch /seen; echo run; exit 3";
  await cli("run", "-d", "--name", "loop", "--restart", "on-failure:2", busybox, "--", "sh", "-c", script);
  await until(async () => (await inspect("loop")).status === "exited");
  expect(await inspect("loop")).toMatchObject({ exitCode: 3, restarts: 2 });
  expect((await cli("logs", "loop")).stdout).toBe("run\nrun\nrun");
});

test("with --rm nothing is left once it has ended", async () => {
  await cli("run", "-d", "--rm", "--name", "brief", busybox, "--", "true");
  await until(async () => !existsSync(join(home().vms, "brief")));
});

test("a command that cannot be started is reported at once", async () => {
  const { stderr, exitCode } = await cli("run", "-d", "--name", "none", busybox, "--", "missing");
  expect(stderr).toContain('Could not run "missing" in the guest');
  expect(exitCode).toBe(1);
  expect(existsSync(join(home().vms, "none"))).toBe(false);
});

test("kill sends any signal; a supervisor that is killed takes its VM along and leaves no ghost", async () => {
  const script = "trap 'echo hup' HUP; httpd -p 80 -h /tmp; while :; do sleep 0.1; done";
  await cli("run", "-d", "--name", "one", "-p", "80", busybox, "--", "sh", "-c", script);
  const port = (await inspect("one")).ports?.[0]?.hostPort;
  await cli("kill", "--signal", "HUP", "one");
  await until(async () => (await cli("logs", "one")).stdout === "hup");
  process.kill((await inspect("one")).pid, "SIGKILL");
  await until(async () => (await inspect("one")).status === "failed");
  expect((await cli("ps", "--json")).stdout).toBe("[]");
  expect(await remainingWorkers()).toEqual([]);
  // Its name and its port are free again.
  const again = await cli("run", "-d", "--name", "one", "-p", `${port}:80`, busybox, "--", "httpd", "-f", "-p", "80");
  expect(again.stdout).toBe("one");
});

test("a client that is interrupted takes its command along, and nothing else", async () => {
  await cli("run", "-d", "--name", "host", busybox, "--", "sleep", "1000");
  const child = execa("node", [CLI, "exec", "host", "--", "sleep", "2000"], { reject: false });
  const sleeps = async () => (await cli("exec", "host", "--", "ps")).stdout.includes("sleep 2000");
  await until(sleeps);
  child.kill("SIGINT");
  expect((await child).exitCode).toBe(130);
  await until(async () => !(await sleeps()));
  expect((await inspect("host")).status).toBe("running");
});

test("its supervisor keeps no descriptor or terminal of the command that started it", async () => {
  const { stdout } = await execa("sh", ["-c", `node ${CLI} run -d --name quiet ${busybox} -- sleep 1000 | cat`]);
  expect(stdout).toBe("quiet");
  expect(readFileSync(`/proc/${(await inspect("quiet")).pid}/stat`, "latin1").split(" ")[6]).toBe("0");
});
