import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { home, version } from "../../src/index.js";
import { busyboxImage, debianPythonImage } from "../support/images.js";
import { remainingWorkers, workers } from "../support/leftovers.js";

const CLI = "dist/cli/main.js";
let busybox: string;

const cli = (...args: string[]) => execa("node", [CLI, ...args], { reject: false, stdin: "ignore" });

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
});

describe("run", () => {
  test("prints what the command prints, and passes its exit code on", async () => {
    const { stdout, exitCode } = await cli("run", busybox, "--", "sh", "-c", "echo out; echo err >&2; exit 7");
    expect({ stdout, exitCode }).toEqual({ stdout: "out", exitCode: 7 });
  });

  test("prints 42 from a Debian image with Python; the second run boots and converts nothing", async () => {
    const python = `oci-archive:${(await debianPythonImage()).archive}`;
    await cli("run", python, "--", "true");
    const { stdout, stderr, exitCode } = await cli("run", python, "--", "python3", "-c", "print(6*7)");
    expect({ stdout, stderr, exitCode }).toEqual({ stdout: "42", stderr: "", exitCode: 0 });
  });

  test("takes environment, folder, user and size", async () => {
    const options = ["-e", "A=1", "--env", "HOME_OF_CALLER", "-w", "/tmp", "-u", "app", "-m", "192M", "--vcpus", "2"];
    const script = "echo $A $HOME_OF_CALLER; pwd; id -un; nproc";
    const { stdout } = await execa("node", [CLI, "run", ...options, busybox, "--", "sh", "-c", script], {
      env: { HOME_OF_CALLER: "here" },
    });
    expect(stdout).toBe("1 here\n/tmp\napp\n2");
  });

  test("passes options of the command through, without the separator too", async () => {
    const { stdout } = await cli("run", busybox, "echo", "-n", "--name");
    expect(stdout).toBe("--name");
  });

  test("replaces the entrypoint", async () => {
    const { stdout } = await cli("run", "--entrypoint", "echo", busybox, "--", "replaced");
    expect(stdout).toBe("replaced");
  });

  test("connects standard input when it is asked to", async () => {
    const { stdout } = await execa("node", [CLI, "run", "-i", busybox, "--", "wc", "-c"], { input: "12345" });
    expect(stdout.trim()).toBe("5");
  });

  test("gives 127, 126 and 128+n as a shell does", async () => {
    expect((await cli("run", busybox, "--", "missing")).exitCode).toBe(127);
    expect((await cli("run", busybox, "--", "/etc/passwd")).exitCode).toBe(126);
    expect((await cli("run", busybox, "--", "sh", "-c", "kill -9 $$")).exitCode).toBe(137);
  });

  test("ends quietly when its reader goes away", async () => {
    const { stdout } = await execa("sh", ["-c", `node ${CLI} run ${busybox} -- yes | head -n 2`]);
    expect(stdout).toBe("y\ny");
    expect(await remainingWorkers()).toEqual([]);
  });

  test("is interrupted by SIGINT and SIGTERM, and leaves no VM", async () => {
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      const child = spawn("node", [CLI, "run", busybox, "--", "sh", "-c", "echo ready; sleep 1000"]);
      await once(child.stdout, "data");
      const errors = text(child.stderr);
      child.kill(signal);
      const [exitCode] = await once(child, "exit");
      expect(exitCode).toBe(code);
      expect(await errors).toContain(signal);
      expect(await remainingWorkers()).toEqual([]);
    }
  });

  test("takes its VM along when it is killed with -9", async () => {
    const child = spawn("node", [CLI, "run", busybox, "--", "sh", "-c", "echo ready; sleep 1000"]);
    await once(child.stdout, "data");
    expect(workers()).toHaveLength(1);
    child.kill("SIGKILL");
    expect(await remainingWorkers()).toEqual([]);
  });

  test("keeps names: a named snapshot is listed, run by its name, and removed", async () => {
    await cli("run", "--name", "e2e-named", busybox, "--", "true");
    expect((await cli("run", "e2e-named", "--", "echo", "by name")).stdout).toBe("by name");
    const { images, store } = JSON.parse((await cli("images", "--json")).stdout);
    expect(images.map(({ name }: { name: string }) => name)).toContain("e2e-named");
    expect(store.layers).toBeGreaterThan(0);
    const { stdout, stderr } = await cli("images");
    expect(stdout).toMatch(/^NAME +REFERENCE +DIGEST +AGE +OWN +LAYERS +SHARED\n/);
    expect(stderr).toMatch(/\d+ snapshots?; .* on disk/);
    expect((await cli("rmi", "e2e-named")).stdout).toBe("e2e-named");
    expect(await cli("rmi", "e2e-named")).toMatchObject({ exitCode: 1 });
  });
});

describe("wrong usage is exit code 2 and a line that helps", () => {
  test.each([
    [["run"], /missing required argument/],
    [["run", "--memory", "lots", "x"], /512M/],
    [["run", "--memory", "1", "oci-layout:x"], /from 128/],
    [["no-such-command"], /unknown command/],
    [["images", "--no-such-flag"], /unknown option/],
    [["rmi", "../escape"], /snapshot's name/],
  ])("%j", async (args, message) => {
    const { exitCode, stderr, stdout } = await cli(...args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });
});

test("a missing archive is exit code 1 and named", async () => {
  const { exitCode, stderr } = await cli("run", "oci-archive:/missing.tar");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("/missing.tar");
});

test("without QEMU the message says what to type", async () => {
  const { exitCode, stderr } = await execa("node", [CLI, "run", busybox], {
    reject: false,
    env: { SUPERMACHINE_QEMU: "/missing/qemu" },
  });
  expect(exitCode).toBe(1);
  expect(stderr).toContain("/missing/qemu");
});

test("doctor proves an accelerator by a boot and explains the ones that do not work", async () => {
  const diagnosis = JSON.parse((await cli("doctor", "--json")).stdout);
  expect(diagnosis.isolation).toMatch(/^(hardware|emulated) \(\w+\)$/);
  const accelerators = diagnosis.findings.filter(({ subject }: { subject: string }) =>
    subject.startsWith("accelerator"),
  );
  expect(accelerators.length).toBeGreaterThan(0);
  for (const { status, detail } of accelerators) {
    expect(detail).toMatch(status === "ok" ? /a guest booted in/ : /\/dev\/kvm is (not )?there/);
  }
});

test.skipIf(process.platform === "darwin")("what only macOS asks for is there, and says so", async () => {
  const signing = await cli("codesign");
  expect(signing).toMatchObject({ exitCode: 0, stdout: "", stderr: expect.stringMatching(/qemu.*only macOS asks/) });
  expect(JSON.parse((await cli("codesign", "--json")).stdout)).toMatchObject({ outcome: "not needed" });
  expect(readFileSync((await cli("entitlements-path")).stdout, "utf8")).toContain("com.apple.security.hypervisor");
  expect((await cli("assets-path")).stdout).toBe(home().assets);
});

test("version and setup say what there is", async () => {
  expect((await cli("version")).stdout).toContain(`supermachine ${version}`);
  expect((await cli("--version")).stdout).toBe(version);
  expect(JSON.parse((await cli("setup", "--json")).stdout)).toMatchObject({
    qemu: { path: expect.stringContaining("qemu") },
  });
});
