import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { Image, UsageError } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";
import { freshHome } from "../support/test-home.js";

let reference: string;
beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
});

test("limits, kernel parameters, shared memory and files are baked in, for every command and through a restore", async () => {
  using _home = freshHome();
  const image = await Image.fromOci(reference, {
    ulimits: { nofile: { soft: 123, hard: 456 }, core: 0, memlock: "unlimited" },
    sysctls: { "kernel.msgmax": "12345", "fs/file-max": "54321", "net.core.somaxconn": "777" },
    shmSize: 3 * 2 ** 20,
    extraFiles: {
      "/etc/app/config": "key=value\n",
      "/usr/bin/tool": { content: "#!/bin/sh\necho tool\n", mode: 0o755 },
      "/etc/hosts": "127.0.0.1 localhost\n10.0.0.1 db\n",
    },
  });
  await using vm = await image.start();
  const read = ["kernel/msgmax", "fs/file-max", "net/core/somaxconn"].map((name) => `cat /proc/sys/${name}`).join("; ");
  const script = `ulimit -n; ulimit -Hn; ulimit -c; ulimit -l; ${read}; df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2; cat /etc/app/config; tool; grep db /etc/hosts`;
  const { stdout } = await vm.run(["sh", "-c", script]);
  expect(stdout.split("\n")).toEqual([
    ...["123", "456", "0", "unlimited", "12345", "54321", "777", "3072"],
    ...["key=value", "tool", "10.0.0.1 db", ""],
  ]);
  expect((await vm.run(["sh", "-c", "ulimit -n"], { rlimits: { nofile: 99 } })).stdout).toBe("99\n");
  const again = await Image.fromOci(reference, { sysctls: { "kernel.msgmax": "12346" } });
  expect(again.snapshotPath).not.toBe(image.snapshotPath);
  await expect(Image.open(image.name, { shmSize: 2 ** 20 })).rejects.toThrow(UsageError);
});

test("cgroup v2 is there, and can be used by the workload's root", async () => {
  await using vm = await (await Image.fromOci(reference)).start();
  const script = `cat /proc/self/cgroup; grep -o memory /sys/fs/cgroup/cgroup.controllers
    echo +memory > /sys/fs/cgroup/cgroup.subtree_control; mkdir /sys/fs/cgroup/x; echo 8M > /sys/fs/cgroup/x/memory.max; cat /sys/fs/cgroup/x/memory.max`;
  expect((await vm.run(["sh", "-c", script])).stdout).toBe("0::/\nmemory\n8388608\n");
});

test.each([{ sysctls: { "kernel.no-such-thing": "1" } }, { sysctls: { "kernel.msgmax": "word" } }])(
  "a kernel parameter that cannot be set is why there is no image: %j",
  async (options) => {
    await expect(Image.fromOci(reference, options)).rejects.toThrow(/kernel parameter/);
    expect(await remainingWorkers()).toEqual([]);
  },
);

test.each([
  { sysctls: { "../x": "1" } },
  { sysctls: { "a.b": "1\n2" } },
  { shmSize: -1 },
  { extraFiles: { "relative/path": "" } },
  { extraFiles: { "/large": Buffer.alloc(2 ** 20) } },
  { ulimits: { nofile: -1 } },
])("nonsense is refused before anything is baked: case %#", async (options) => {
  await expect(Image.fromOci(reference, options)).rejects.toThrow(UsageError);
});

describe("the command line", () => {
  const cli = (...args: string[]) =>
    execa("node", ["dist/cli/main.js", "run", ...args], { reject: false, stdin: "ignore" });

  test("takes them by docker's names", async () => {
    using home = freshHome();
    const file = join(home.path, "vars");
    writeFileSync(file, "# variables\nA=from file\nB=from file\nHOME_OF_CALLER\n");
    const flags = ["--ulimit", "nofile=100:200", "--sysctl", "kernel.msgmax=4321", "--shm-size", "2m", "-h", "box"];
    const script =
      "hostname; ulimit -n; cat /proc/sys/kernel/msgmax; echo $A $B; df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2";
    const { stdout } = await cli(
      ...flags,
      "--env-file",
      file,
      "-e",
      "B=from line",
      reference,
      "--",
      "sh",
      "-c",
      script,
    );
    expect(stdout.split("\n")).toEqual(["box", "100", "4321", "from file from line", "2048"]);
  });

  test.each([
    [["--ulimit", "files=1"], "no limit"],
    [["--sysctl", "x"], "NAME=VALUE"],
    [["--shm-size", "much"], "k, m or g"],
    // A file that is not there is refused by Node 20 itself, which looks for this option, too.
    [["--env-file", "package.json"], "names no variable"],
  ])("refuses %j", async (flags, message) => {
    const { exitCode, stderr } = await cli(...flags, reference);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});
