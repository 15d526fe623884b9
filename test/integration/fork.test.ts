import { statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Image, type Vm } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { litter, openDescriptors, remainingWorkers, workers } from "../support/leftovers.js";

/** Counts in a process and a file, ten times a second. */
const TICKER = "i=0; while sleep 0.1; do i=$((i+1)); echo $i > /tmp/ticks; done";

beforeEach(() => vi.unstubAllEnvs());
afterEach(async () => {
  vi.unstubAllEnvs();
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
});

async function start(): Promise<Vm> {
  return (await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`)).start();
}
/** The guest's clock is right within 2 s at some moment between the question and the answer. */
async function expectRightTime(ask: () => Promise<string>): Promise<void> {
  const before = Date.now() / 1000;
  const seconds = Number(await ask());
  expect(seconds).toBeGreaterThan(before - 2);
  expect(seconds).toBeLessThan(Date.now() / 1000 + 2);
}

const output = async (vm: Vm, script: string) => (await vm.run(["sh", "-c", script])).stdout.trim();

describe.each(["procfs", "clone"])("a fork, memory by %s", (strategy) => {
  beforeEach(() => vi.stubEnv("SUPERMACHINE_MEMORY", strategy));

  test("has the memory, processes and files of its source, and a name, time and randomness of its own", async () => {
    await using vm = await start();
    await vm.writeFile("/root/file", "before");
    const ticker = await vm.exec(["sh", "-c", TICKER]);
    const streaming = vm.run(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.1; done"]);
    await using fork = await vm.fork({ count: 3 });
    expect(fork.failures).toEqual([]);
    const all = [vm, ...fork.vms];
    await Promise.all(all.map((each, i) => each.writeFile("/root/own", String(i))));
    const random = "head -c 16 /dev/urandom | od -An -v -tx1; cat /etc/machine-id; hostname";
    const seen = await Promise.all(all.map((each) => output(each, random)));
    expect(new Set(seen.flatMap((text) => text.split("\n"))).size).toBe(3 * all.length - 1);
    for (const [i, each] of all.entries()) {
      expect(await output(each, "cat /root/file /root/own")).toBe(`before${i}`);
      expect(await output(each, "hostname")).toBe(each.hostname);
      await expectRightTime(() => output(each, "date +%s"));
      const ticks = Number(await output(each, "cat /tmp/ticks"));
      await vi.waitFor(async () => expect(Number(await output(each, "cat /tmp/ticks"))).toBeGreaterThan(ticks), 60_000);
    }
    expect((await streaming).stdout).toBe("1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    ticker.kill("SIGKILL");
    expect(await ticker.wait()).toMatchObject({ signal: "SIGKILL" });
    // The source's process is gone, its clones' are not.
    const ticks = await output(fork.vms[0] as Vm, "cat /tmp/ticks");
    expect(await output(fork.vms[0] as Vm, "sleep 1; cat /tmp/ticks")).not.toBe(ticks);
    const left = await output(vm, "cat /tmp/ticks");
    expect(await output(vm, "sleep 1; cat /tmp/ticks")).toBe(left);
  });

  test("of a fork of a fork costs the same", async () => {
    using folder = temporaryFolder();
    const line: Vm[] = [await start()];
    try {
      const sizes: number[] = [];
      for (let depth = 0; depth < 5; depth++) {
        const parent = line.at(-1) as Vm;
        await parent.writeFile("/root/line", `${await output(parent, "cat /root/line 2>/dev/null")}${depth}`);
        const { vms, failures } = await parent.fork();
        expect(failures).toEqual([]);
        line.push(...vms);
        await (line.at(-1) as Vm).snapshot(join(folder.path, String(depth)));
        sizes.push(statSync(join(folder.path, String(depth), "memory.delta")).size);
      }
      expect(await output(line.at(-1) as Vm, "cat /root/line")).toBe("01234");
      // Each command touches some pages of its own; a chain would double.
      expect(sizes.at(-1)).toBeLessThan((sizes[0] ?? 0) * 1.5);
    } finally {
      await Promise.all(line.map((vm) => vm[Symbol.asyncDispose]()));
    }
  });
});

test("a clone outlives its source", async () => {
  const vm = await start();
  await vm.writeFile("/root/file", "content");
  await using fork = await vm.fork();
  await vm.stop({ graceMs: 0 });
  expect(await fork.vms[0]?.readFile("/root/file", "utf8")).toBe("content");
});

test("an aborted fork leaves nothing, and the source goes on", async () => {
  await using vm = await start();
  const descriptors = openDescriptors();
  for (const delay of [0, 10, 40, 80, 200]) {
    const controller = new AbortController();
    const forking = vm.fork({ count: 4, signal: controller.signal });
    setTimeout(() => controller.abort(new Error("changed my mind")), delay);
    await forking.then(
      (fork) => fork[Symbol.asyncDispose](),
      (error: unknown) => expect(error).toMatchObject({ message: "changed my mind" }),
    );
    expect(litter()).toEqual([]);
  }
  await vi.waitFor(() => expect(workers()).toEqual([vm.pid]), 60_000);
  expect(await output(vm, "echo alive")).toBe("alive");
  await expect.poll(openDescriptors).toBeLessThanOrEqual(descriptors + 2);
});

describe("a paused VM", () => {
  test("stands still while calls wait, and knows the time when it goes on", async () => {
    await using vm = await start();
    await vm.exec(["sh", "-c", TICKER]);
    const uptime = async () => Number((await output(vm, "cat /proc/uptime")).split(" ")[0]);
    const [before, began] = [await uptime(), performance.now()];
    await vm.pause();
    await vm.pause();
    expect(vm.paused).toBe(true);
    let answered = false;
    const waiting = vm.run(["date", "+%s"]).finally(() => {
      answered = true;
    });
    await sleep(4_000);
    expect(answered).toBe(false);
    await expectRightTime(async () => {
      await vm.resume();
      await vm.resume();
      return (await waiting).stdout;
    });
    // The guest has not lived through the pause.
    expect((await uptime()) - before).toBeLessThan((performance.now() - began) / 1000 - 3);
  });

  test("can be forked and captured, and its clones run", async () => {
    using folder = temporaryFolder();
    await using vm = await start();
    await vm.writeFile("/root/file", "content");
    await vm.pause();
    await using fork = await vm.fork({ count: 2 });
    const image = await vm.snapshot(join(folder.path, "paused"));
    expect(vm.paused).toBe(true);
    await using restored = await image.start();
    for (const each of [...fork.vms, restored]) {
      expect(each.paused).toBe(false);
      expect(await each.readFile("/root/file", "utf8")).toBe("content");
    }
    await vm.resume();
    expect(await output(vm, "echo alive")).toBe("alive");
  });

  test("can be stopped in order or at once", async () => {
    for (const graceMs of [0, 500]) {
      await using vm = await start();
      await vm.pause();
      const waiting = vm.run(["true"]).catch((error: unknown) => error);
      await vm.stop({ graceMs });
      expect(await waiting).toBeDefined();
    }
    await using vm = await start();
    await vm.pause();
  });
});
