import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ExecFailure, ExecTimeoutError, Image, UsageError, type Vm, VmError } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

let image: Image;
let vm: Vm;

beforeAll(async () => {
  const { archive } = await busyboxImage();
  image = await Image.fromOci(`oci-archive:${archive}`);
  vm = await image.start();
});
afterAll(async () => {
  await vm.stop();
  expect(await remainingWorkers()).toEqual([]);
});

const sh = (script: string) => ["sh", "-c", script];

describe("the result of a command", () => {
  test("has its output and exit code apart", async () => {
    const result = await vm.run(sh("echo out; echo err >&2; exit 3"));
    expect(result).toMatchObject({ exitCode: 3, signal: null, stdout: "out\n", stderr: "err\n", truncated: false });
  });

  test("is 127 for a command that is not there, 126 for one that cannot be executed", async () => {
    expect(await vm.run(["no-such-command"])).toMatchObject({ exitCode: 127, stdout: "" });
    expect(await vm.run(["/etc/passwd"])).toMatchObject({ exitCode: 126 });
    expect(await vm.run(["/etc"])).toMatchObject({ exitCode: 126 });
    await expect(vm.exec(["no-such-command"])).rejects.toThrow(ExecFailure);
  });

  test("is 128 and the signal's number for one that is killed", async () => {
    expect(await vm.run(sh("kill -9 $$"))).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
    expect(await vm.run(sh("kill -TERM $$"))).toMatchObject({ exitCode: 143, signal: "SIGTERM" });
  });

  test("keeps binary output, and arguments with every byte", async () => {
    const { stdout } = await vm.run(["printf", "%s|", "a b", "", "quo'te\"", "ünïcödé", "new\nline"]);
    expect(stdout).toBe("a b||quo'te\"|ünïcödé|new\nline|");
  });
});

describe("the surroundings of a command", () => {
  test("are a kernel that maps little around what is touched, where it is emulated", async () => {
    const script =
      "mkdir /debug && mount -t debugfs none /debug && cat /debug/fault_around_bytes; umount /debug; rmdir /debug";
    const { stdout } = await vm.run(sh(script));
    expect(stdout).toBe(vm.isolation.startsWith("emulated") ? "16384\n" : "65536\n");
  });

  test("are the image's own, with the caller's changes on top", async () => {
    const { stdout } = await vm.run(sh("pwd; echo $FOO; id -u"), { cwd: "/tmp", env: { FOO: "bar" }, user: "app" });
    expect(stdout).toBe("/tmp\nbar\n1000\n");
  });

  test("are of the user as the files have it now", async () => {
    const ids = async (user: string) => (await vm.run(sh("id -u; id -g; echo $HOME"), { user })).stdout;
    await vm.run(sh("sed -i /^one:/d /etc/passwd; echo one:x:71:72::/one:/bin/sh >> /etc/passwd"));
    expect(await ids("one")).toBe("71\n72\n/one\n");
    await vm.run(sh("sed -i s/:71:72:/:81:82:/ /etc/passwd"));
    expect(await ids("one")).toBe("81\n82\n/one\n");
    // What was found is remembered only of files that are older than this.
    await vm.run(["sleep", "3.5"]);
    expect([await ids("one"), await ids("one"), await ids("root")]).toEqual([
      "81\n82\n/one\n",
      "81\n82\n/one\n",
      "0\n0\n/root\n",
    ]);
    await vm.run(sh("sed -i s/:81:82:/:91:92:/ /etc/passwd"));
    expect(await ids("one")).toBe("91\n92\n/one\n");
    await vm.run(sh("sed -i /^one:/d /etc/passwd"));
    expect(await vm.run(["true"], { user: "one" })).toMatchObject({ exitCode: 126 });
  });

  test("take a user as a number and with a group", async () => {
    expect((await vm.run(sh("id -u; id -g"), { user: "7:8" })).stdout).toBe("7\n8\n");
  });

  test("refuse a user or folder that is not there", async () => {
    expect(await vm.run(["true"], { user: "nobody-here" })).toMatchObject({ exitCode: 126 });
    expect(await vm.run(["true"], { cwd: "/missing" })).toMatchObject({ exitCode: 126 });
  });

  test("hide the agent: it is neither seen nor reached", async () => {
    const { stdout } = await vm.run(
      sh("ls /sys/class/virtio-ports 2>/dev/null; ls /dev | grep vport; ls /modules; ps"),
    );
    expect(stdout).not.toMatch(/vport\d|order|kthreadd/);
  });

  test("are those of process 2 or more in a PID namespace of its own", async () => {
    expect((await vm.run(sh("kill -9 1; echo alive"))).stdout).toBe("alive\n");
  });
});

describe("input and output", () => {
  test("input reaches the command and ends", async () => {
    expect((await vm.run(["cat"], { input: "line\n" })).stdout).toBe("line\n");
    const megabytes = Buffer.alloc(3_000_000, "x");
    expect((await vm.run(["wc", "-c"], { input: megabytes })).stdout.trim()).toBe("3000000");
  });

  test("a command that does not read its input does not stall", async () => {
    expect(await vm.run(["true"], { input: Buffer.alloc(1_000_000) })).toMatchObject({ exitCode: 0 });
  });

  test("1 GiB of output arrives whole where it is streamed, with memory bounded", async () => {
    const process = await vm.exec(["dd", "if=/dev/zero", "bs=1M", "count=1024"]);
    let bytes = 0;
    process.stderr.resume();
    for await (const chunk of process.stdout) bytes += (chunk as Buffer).length;
    expect(bytes).toBe(2 ** 30);
    expect(await process.wait()).toMatchObject({ exitCode: 0 });
  });

  test("output beyond the limit is dropped and marked", async () => {
    const result = await vm.run(["dd", "if=/dev/zero", "bs=1k", "count=300"], { maxOutputBytes: 1000 });
    expect(result).toMatchObject({ exitCode: 0, truncated: true });
    expect(result.stdout).toHaveLength(1000);
  });

  test("an idle reader stalls only its own command", async () => {
    const idle = await vm.exec(["dd", "if=/dev/zero", "bs=1M", "count=16"]);
    expect((await vm.run(["echo", "still here"])).stdout).toBe("still here\n");
    idle.kill("SIGKILL");
    idle.stdout.resume();
    idle.stderr.resume();
    expect(await idle.wait()).toMatchObject({ signal: "SIGKILL" });
  });

  test("the end is reported although a grandchild keeps the output open", async () => {
    const result = await vm.run(sh("echo first; sleep 1000 & exit 0"));
    expect(result).toMatchObject({ exitCode: 0, stdout: "first\n", truncated: true });
    await vm.run(["killall", "sleep"]);
  });
});

describe("giving up", () => {
  test("a command that runs too long is killed, with what it said so far", async () => {
    const error = await vm.run(sh("echo begun; sleep 1000"), { timeoutMs: 1_000 }).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(ExecTimeoutError);
    expect(error).toMatchObject({ code: "ERR_SUPERMACHINE_EXEC_TIMEOUT", stdout: "begun\n" });
    expect((await vm.run(sh("ps | grep -c '[s]leep 1000'"))).stdout).toBe("0\n");
  });

  test("an abort signal kills the command and is the reason of the rejection", async () => {
    const controller = new AbortController();
    const running = vm.run(["sleep", "1000"], { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 100);
    await expect(running).rejects.toThrow("enough");
    await expect(vm.run(["true"], { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
  });

  test("nonsense is refused before anything is sent", async () => {
    await expect(vm.run([])).rejects.toThrow(UsageError);
    await expect(vm.run(["a\0b"])).rejects.toThrow(UsageError);
  });

  test("a stopped VM says so, to what is running as well", async () => {
    const other = await image.start();
    // It may get to know of its command's end by the signal, before the VM is gone.
    const outcome = other.run(["sleep", "1000"]).then(
      ({ signal }) => signal,
      (error: unknown) => (error instanceof VmError ? "VmError" : error),
    );
    await other.stop({ graceMs: 0 });
    expect(["SIGTERM", "SIGKILL", "VmError"]).toContain(await outcome);
    await expect(other.run(["true"])).rejects.toThrow(VmError);
    await other.stop();
  });

  test("a VM whose QEMU is killed says how it ended", async () => {
    await using other = await image.start();
    const running = other.run(["sleep", "1000"]);
    process.kill(other.pid, "SIGKILL");
    await expect(running).rejects.toThrow(/closed|SIGKILL/);
  });

  test("a guest that is powered off from within ends what is running", async () => {
    await using other = await image.start();
    await expect(other.run(sh("echo o > /proc/sysrq-trigger; sleep 1000"))).rejects.toThrow(VmError);
  });
});
