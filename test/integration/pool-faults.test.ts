import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { closePools, Image, type Pool, type Vm, VmError } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { litter, remainingWorkers, workers } from "../support/leftovers.js";

const isRoot = process.getuid?.() === 0;
let reference: string;
let image: Image;

beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
  image = await Image.fromOci(reference);
});
afterEach(async () => {
  await closePools();
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
});

async function filled(pool: Pool, idle: number): Promise<void> {
  await vi.waitFor(() => expect(pool.stats()).toMatchObject({ idle, starting: 0 }), 60_000);
}

async function answers(pool: Pool): Promise<void> {
  await using vm = await pool.acquire();
  expect(await vm.run(["echo", "42"], { timeoutMs: 60_000 })).toMatchObject({ exitCode: 0, stdout: "42\n" });
}

describe("kill -9 of a worker", () => {
  test("that idles: it is replaced", async () => {
    await using pool = image.pool({ min: 2 });
    await filled(pool, 2);
    const before = workers();
    for (const pid of before) process.kill(pid, "SIGKILL");
    await vi.waitFor(() => expect(pool.stats().failures).toBe(2), 60_000);
    await filled(pool, 2);
    expect(workers().filter((pid) => before.includes(pid))).toEqual([]);
    await answers(pool);
  });

  test("in use: its user is told how it ended, nobody else is", async () => {
    await using pool = image.pool({ max: 2 });
    await using other = await pool.acquire();
    await using vm = await pool.acquire();
    const running = vm.run(["sleep", "1000"]).catch((error: unknown) => error);
    process.kill(vm.pid, "SIGKILL");
    expect(await running).toBeInstanceOf(VmError);
    expect(String(await running)).toMatch(/was killed by SIGKILL|the VM has ended/);
    expect((await other.run(["echo", "42"])).stdout).toBe("42\n");
    await answers(pool);
  });

  test("while it is restored: another one is, and the caller does not notice", async () => {
    await using pool = image.pool({ max: 1 });
    for (const delay of [0, 5, 10, 20, 30]) {
      const acquiring = pool.acquire();
      await vi.waitUntil(() => workers().length > 0, { timeout: 5_000, interval: 1 });
      await sleep(delay);
      for (const pid of workers()) if (pool.stats().inUse === 0) process.kill(pid, "SIGKILL");
      const vm = await acquiring;
      if (pool.stats().inUse === 1) expect((await vm.run(["echo", "42"])).stdout).toBe("42\n");
      await vm.stop({ graceMs: 0 });
    }
    expect(pool.stats().failures).toBeGreaterThan(0);
  });
});

describe("a guest that is of no use any more", () => {
  test("because it stands still while it is in use, is ended within the time that was given", async () => {
    await using pool = image.pool({ max: 1, livenessTimeoutMs: 2_000 });
    await using vm = await pool.acquire();
    await sleep(2_500);
    expect(await vm.run(["echo", "alive"])).toMatchObject({ stdout: "alive\n" });
    const running = vm.run(["sleep", "1000"]).catch((error: unknown) => error);
    process.kill(vm.pid, "SIGSTOP");
    expect(String(await running)).toContain("the microVM was stopped: no answer for 2000 ms");
    await answers(pool);
  });

  test("is not thought of one that its user paused", async () => {
    await using pool = image.pool({ livenessTimeoutMs: 1_000 });
    await using vm = await pool.acquire();
    await vm.pause();
    await sleep(2_500);
    await vm.resume();
    expect((await vm.run(["echo", "42"])).stdout).toBe("42\n");
  });

  // As root of the guest, with all that it has; first of all the memory of its killer.
  const bomb = "bomb() { bomb | bomb & }; bomb";
  const hog = "tail /dev/zero & tail /dev/zero & tail /dev/zero";
  test.each<[string, (vm: Vm) => Promise<unknown>]>([
    ["its disk is full", (vm) => vm.run(["dd", "if=/dev/zero", "of=/big", "bs=1M"])],
    ["a fork bomb goes off in it", (vm) => vm.run(["sh", "-c", bomb], { timeoutMs: 1_000 })],
    ["its processes have its memory", (vm) => vm.run(["sh", "-c", hog], { timeoutMs: 1_000 })],
    ["it was powered off", (vm) => vm.run(["sh", "-c", "echo o > /proc/sysrq-trigger; sleep 100"])],
    ["its kernel has crashed", (vm) => vm.run(["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 100"])],
    ["it stands still", async (vm) => process.kill(vm.pid, "SIGSTOP")],
  ])("because %s, is not in the way of the next user", async (_, harm) => {
    for (const restoreOnRelease of [true, false]) {
      await using pool = image.pool({ max: 1, restoreOnRelease });
      {
        await using vm = await pool.acquire();
        await harm(vm).catch((error: unknown) => expect(error).toMatchObject({ code: /^ERR_SUPERMACHINE/ }));
      }
      await using next = await pool.acquire();
      await next.writeFile("/tmp/file", Buffer.alloc(100_000));
      expect(await next.run(["echo", "42"], { timeoutMs: 60_000 })).toMatchObject({ exitCode: 0, stdout: "42\n" });
    }
  });
});

describe("a process with a pool", () => {
  const start = (what: string): ChildProcess =>
    spawn(process.execPath, ["--import", "tsx", "test/support/pool-child.ts", reference, what], {
      stdio: ["ignore", "pipe", "ignore"],
      // A group of its own, so that a signal reaches it as it does from a terminal.
      detached: true,
    });
  const signal = (child: ChildProcess, name: NodeJS.Signals) => process.kill(-(child.pid ?? 0), name);

  test.each(["SIGKILL", "SIGINT", "SIGTERM"] as const)("that gets %s in the middle leaves nothing", async (name) => {
    for (const delay of [0, 250]) {
      const child = start("churn");
      await once(child.stdout ?? child, "data");
      await sleep(delay);
      const exited = once(child, "exit");
      signal(child, name);
      await exited;
      expect(await remainingWorkers()).toEqual([]);
    }
  });

  test("does not mind another one that pools the same image, nor its end", async () => {
    const child = start("churn");
    await once(child.stdout ?? child, "data");
    await using pool = image.pool({ min: 1 });
    for (let i = 0; i < 10; i++) await answers(pool);
    signal(child, "SIGKILL");
    await once(child, "exit");
    for (let i = 0; i < 5; i++) await answers(pool);
    expect(pool.stats().failures).toBe(0);
  });
});

test.skipIf(!isRoot)("a disk that is full when a pooled VM is captured harms neither the VM nor the pool", async () => {
  const small = mkdtempSync(join(tmpdir(), "supermachine-full-"));
  await execa("mount", ["-t", "tmpfs", "-o", "size=2m", "supermachine-test", small]);
  try {
    await using pool = image.pool({ max: 1 });
    {
      await using vm = await pool.acquire();
      await expect(vm.snapshot(join(small, "snapshot"))).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_NO_SPACE" });
      expect(readdirSync(small).filter((name) => !name.endsWith(".lock"))).toEqual([]);
      expect((await vm.run(["echo", "42"])).stdout).toBe("42\n");
    }
    await answers(pool);
  } finally {
    await execa("umount", ["--lazy", small]);
    rmSync(small, { recursive: true });
  }
});
