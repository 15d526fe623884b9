import { execa } from "execa";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { closePools, Image, type Pool, PoolExhaustedError, setLimits, VmError } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { litter, openDescriptors, remainingWorkers, workers } from "../support/leftovers.js";

let reference: string;
let image: Image;

beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
  image = await Image.fromOci(reference);
});
afterEach(async () => {
  setLimits({});
  await closePools();
  expect(await remainingWorkers()).toEqual([]);
});

async function filled(pool: Pool, idle: number): Promise<void> {
  await vi.waitFor(() => expect(pool.stats()).toMatchObject({ idle, starting: 0 }), 60_000);
}

describe("a pool", () => {
  test("lends clean VMs that were restored in advance", async () => {
    await using pool = image.pool({ min: 2 });
    await filled(pool, 2);
    const seen = new Set<string>();
    for (let i = 0; i < 6; i++) {
      await using vm = await pool.acquire();
      expect(await vm.run(["ls", "/tmp/mine"])).toMatchObject({ exitCode: 1 });
      await vm.writeFile("/tmp/mine", "secret");
      seen.add((await vm.run(["sh", "-c", "head -c 16 /dev/urandom | od -An -tx1"])).stdout);
    }
    expect(seen.size).toBe(6);
    expect(pool.stats()).toMatchObject({ inUse: 0, failures: 0 });
  });

  test("lends a VM as it was left where that was asked for, but not to who had given it back", async () => {
    await using pool = image.pool({ restoreOnRelease: false });
    const first = await pool.acquire();
    await first.writeFile("/tmp/mine", "kept");
    const { pid } = await first.exec(["sleep", "1000"]);
    await first.release();
    await first.release();
    await using second = await pool.acquire();
    expect(second.pid).toBe(first.pid);
    expect(await second.readFile("/tmp/mine", "utf8")).toBe("kept");
    expect(await second.run(["kill", "-0", String(pid)])).toMatchObject({ exitCode: 0 });
    await expect(first.run(["true"])).rejects.toThrow(/given back to its pool/);
    await first.stop();
    expect(await second.run(["ls", "-A", "/"])).toMatchObject({
      exitCode: 0,
      stdout: expect.not.stringContaining("supermachine"),
    });
  });

  test("replaces a VM that its user stopped", async () => {
    await using pool = image.pool({ min: 1, max: 2 });
    const vm = await pool.acquire();
    await vm.stop();
    await expect(vm.run(["true"])).rejects.toThrow(VmError);
    await filled(pool, 1);
    expect(pool.stats()).toMatchObject({ alive: 1, failures: 0 });
  });

  test("gives forks to its user, not to itself", async () => {
    await using pool = image.pool({ max: 1 });
    const vm = await pool.acquire();
    await using fork = await vm.fork();
    await vm.release();
    expect(await fork.vms[0]?.run(["echo", "here"])).toMatchObject({ stdout: "here\n" });
    await using _next = await pool.acquire();
    await fork.vms[0]?.release();
    expect(pool.stats()).toMatchObject({ inUse: 1 });
  });

  test("serves 50 at once with 5 VMs", async () => {
    await using pool = image.pool({ max: 5 });
    let most = 0;
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        await using vm = await pool.acquire();
        const { inUse, alive } = pool.stats();
        most = Math.max(most, inUse, alive, i % 10 ? 0 : workers().length - 1);
        return (await vm.run(["echo", String(i)])).stdout;
      }),
    );
    expect(answers).toEqual(answers.map((_, i) => `${i}\n`));
    expect(most).toBeLessThanOrEqual(5);
  });

  test("says with its figures that it is exhausted", async () => {
    await using pool = image.pool({ max: 1, acquireTimeoutMs: 100 });
    await using _vm = await pool.acquire({ timeoutMs: 60_000 });
    const error = await pool.acquire().catch((each: unknown) => each);
    expect(error).toBeInstanceOf(PoolExhaustedError);
    expect(error).toMatchObject({ stats: { inUse: 1, max: 1, alive: 1 } });
  });

  test("leaves nothing behind for callers that changed their mind", async () => {
    await using pool = image.pool({ idleTimeoutMs: 0 });
    for (const delay of [0, 5, 10, 20, 40]) {
      const controller = new AbortController();
      const acquiring = pool.acquire({ signal: controller.signal });
      setTimeout(() => controller.abort(new Error("changed my mind")), delay);
      await acquiring.then(
        (vm) => vm.stop(),
        (error: unknown) => expect(error).toMatchObject({ message: "changed my mind" }),
      );
    }
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ alive: 0, starting: 0, waiting: 0 }), 60_000);
    expect(await remainingWorkers()).toEqual([]);
  });
});

test("the default pool is one for all who use a snapshot", async () => {
  const again = await Image.fromOci(reference);
  const vm = await image.acquire();
  await vm.release();
  // What replaces it idles there, for the other.
  await vi.waitFor(() => expect(workers()).toHaveLength(2), 60_000);
  await using next = await again.acquire();
  expect((await next.run(["echo", "42"])).stdout).toBe("42\n");
});

describe("the memory limit", () => {
  const needed = () => image.memoryMiB + 64;

  test("lets callers wait, and gives way as soon as something is released", async () => {
    setLimits({ maxMemoryMiB: needed() });
    await using pool = image.pool();
    const vm = await pool.acquire();
    await expect(pool.acquire({ timeoutMs: 50 })).rejects.toThrow(/The limit maxMemoryMiB is \d+: .* may take/);
    const waiting = pool.acquire();
    await vm.release();
    await using next = await waiting;
    expect((await next.run(["echo", "42"])).stdout).toBe("42\n");
  });

  test("takes from a pool what idles there when another one's callers wait", async () => {
    setLimits({ maxMemoryMiB: needed() });
    await using idle = image.pool({ min: 1 });
    await filled(idle, 1);
    await using busy = image.pool();
    await using vm = await busy.acquire();
    expect(idle.stats().idle).toBe(0);
    expect((await vm.run(["echo", "42"])).stdout).toBe("42\n");
  });

  test("that no VM fits into is told at once", async () => {
    setLimits({ maxMemoryMiB: 100 });
    await expect(image.acquire()).rejects.toThrow(/takes \d+ MiB, and the limit maxMemoryMiB is 100/);
  });
});

test("a process ends when all is released, without closing its pool, and nothing is left of it", async () => {
  const { stdout } = await execa("node", ["--import", "tsx", "test/support/pool-child.ts", reference, "release"], {
    timeout: 60_000,
  });
  expect(stdout).toBe("answer 42");
  expect(await remainingWorkers()).toEqual([]);
});

test("200 cycles leave no process, descriptor, file or memory", async () => {
  await using pool = image.pool({ max: 4 });
  const cycle = async (i: number) => {
    await using vm = await pool.acquire();
    if (i % 10 === 0) expect((await vm.run(["echo", String(i)])).stdout).toBe(`${i}\n`);
  };
  const cycles = async (count: number) => {
    for (let i = 0; i < count; i += 2) await Promise.all([cycle(i), cycle(i + 1)]);
    await vi.waitFor(() => expect(pool.stats().starting).toBe(0), 60_000);
    globalThis.gc?.();
  };
  await cycles(40);
  const before = { descriptors: openDescriptors(), bytes: process.memoryUsage.rss() };
  await cycles(160);
  // What idles differs by a VM or a spare, of seven descriptors each.
  expect(openDescriptors()).toBeLessThanOrEqual(before.descriptors + 30);
  expect(process.memoryUsage.rss() - before.bytes).toBeLessThan(64 * 2 ** 20);
  expect(pool.stats().failures).toBe(0);
  await pool.close();
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
});
