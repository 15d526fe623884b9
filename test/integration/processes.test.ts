import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Image, type Vm } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

let image: Image;
let vm: Vm;

beforeAll(async () => {
  image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
  vm = await image.start();
});
afterAll(async () => {
  await vm.stop();
  expect(await remainingWorkers()).toEqual([]);
});

const sh = (script: string) => ["sh", "-c", script];

describe("a command with more to it", () => {
  test("has its files, of its user, and its chain, in one go", async () => {
    const result = await vm.run(["./build.sh"], {
      cwd: "/home/app",
      user: "app",
      stageFiles: { "build.sh": { content: "#!/bin/sh\necho built > out; id -un\n", mode: 0o755 }, "src/a": "A" },
      chain: [["cat", "out", "src/a"], sh("exit 9"), ["echo", "never"]],
    });
    expect(result).toMatchObject({ stdout: "app\nbuilt\nA", exitCode: 9, step: 2 });
  });

  test("has large files too", async () => {
    const content = Buffer.alloc(3_000_000, "x");
    expect((await vm.run(["wc", "-c", "/tmp/large"], { stageFiles: { "/tmp/large": content } })).stdout).toMatch(
      /^3000000/,
    );
  });

  test("of a chain, one that is not there gives 127 after the output of the others", async () => {
    const result = await vm.run(["echo", "one"], { chain: [["missing"]] });
    expect(result).toMatchObject({ exitCode: 127, stdout: "one\n", step: 1 });
  });

  test("has limits, by name", async () => {
    const rlimits = { nofile: { soft: 64, hard: 128 }, fsize: 1024 };
    const { stdout } = await vm.run(sh("ulimit -n; ulimit -Hn; head -c 5000 /dev/zero > /tmp/big; wc -c < /tmp/big"), {
      rlimits,
    });
    expect(stdout).toBe("64\n128\n1024\n");
  });

  test("is killed in time with all that it started, daemons too", async () => {
    const script = "setsid sh -c 'setsid sleep 4321 & setsid sleep 4321' & sleep 4321";
    await expect(vm.run(sh(script), { timeoutMs: 1_000 })).rejects.toMatchObject({
      code: "ERR_SUPERMACHINE_EXEC_TIMEOUT",
    });
    await expect.poll(async () => (await vm.processes()).filter(({ argv }) => argv.includes("4321"))).toEqual([]);
    // A group can only go once the kernel has taken all of it away; the next command with a group of its own tries again.
    const groups = () => vm.run(sh("ls -d /sys/fs/cgroup/command-*"), { timeoutMs: 30_000 });
    await expect.poll(async () => (await groups()).stdout).toMatch(/^\S+\n$/);
  });

  test("that ends in time leaves what it started alone", async () => {
    await vm.run(sh("setsid sleep 4322 > /dev/null 2>&1 &"), { timeoutMs: 10_000 });
    const [left] = (await vm.processes()).filter(({ argv }) => argv.includes("4322"));
    expect(left).toMatchObject({ parentPid: 1, isCommand: false });
    expect(await vm.signal(left?.pid ?? 0, "SIGKILL")).toBe(true);
  });
});

describe("processes", () => {
  test("are listed and killed, also as the groups that they lead", async () => {
    const process = await vm.exec(sh("sleep 4323 & sleep 4323; true"));
    await expect.poll(async () => (await vm.processes()).filter(({ argv }) => argv[1] === "4323").length).toBe(2);
    const list = await vm.processes();
    expect(list.find(({ pid }) => pid === process.pid)).toMatchObject({ isCommand: true, isAttachable: false, uid: 0 });
    expect(await vm.signal(process.pid, "SIGKILL", { group: true })).toBe(true);
    expect(await process.wait()).toMatchObject({ signal: "SIGKILL" });
    expect(await vm.signal(process.pid)).toBe(false);
    await expect(vm.signal(1, "SIGKILL")).rejects.toThrow(/process 1/);
  });

  test("that are kept are attached to in this VM, in a restored one, and in a fork", async () => {
    const folder = mkdtempSync(join(tmpdir(), "supermachine-attach-"));
    try {
      const script = "echo ready; read line; echo got $line; sleep 4324";
      const process = await vm.exec(sh(script), { stdin: "pipe", keepOutput: true });
      process.detach();
      const restored = await vm.snapshot(join(folder, "snapshot"));
      await using clone = await restored.start();
      const {
        vms: [fork],
      } = await vm.fork();
      const answers = await Promise.all(
        [vm, clone, fork].map(async (each, index) => {
          if (!each) return "no such VM";
          const attached = await each.attach(process.pid);
          attached.stdin.write(`${index}\n`);
          const output = text(attached.stdout);
          await expect.poll(async () => (await each.processes()).some(({ argv }) => argv[1] === "4324")).toBe(true);
          attached.kill("SIGKILL");
          expect(await attached.wait()).toMatchObject({ signal: "SIGKILL" });
          return output;
        }),
      );
      expect(answers).toEqual(["ready\ngot 0\n", "ready\ngot 1\n", "ready\ngot 2\n"]);
      await fork?.stop({ graceMs: 0 });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
