import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { BakeError, Image, listImages, removeImage, UsageError, type Vm, VmError } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { litter, remainingWorkers, workers } from "../support/leftovers.js";
import { freshHome } from "../support/test-home.js";

let reference: string;
let current: ReturnType<typeof freshHome>;

beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
  current = freshHome();
});
afterAll(() => current[Symbol.dispose]());
afterEach(async () => {
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
  for (const { name } of await listImages()) await removeImage(name);
});

const output = async (vm: Vm, script: string) => (await vm.run(["sh", "-c", script])).stdout.trim();
const command = (script: string) => ({ entrypoint: ["sh", "-c"], cmd: [script] });
const failure = (promise: Promise<unknown>) => promise.then(() => undefined).catch((error: unknown) => error as Error);

describe("an image that is ready when its command listens", () => {
  const server = command(
    "echo started >> /tmp/starts; mkdir -p /srv; echo page > /srv/page; sleep 1; exec httpd -f -p 8080 -h /srv",
  );

  test("is captured with it running, and every VM serves at once", async () => {
    const image = await Image.fromOci(reference, { ...server, ready: "listener", guestPort: 8080 });
    expect(image).toMatchObject({ ready: "listener", guestPort: 8080 });
    for (let i = 0; i < 2; i++) {
      await using vm = await image.start();
      expect(await output(vm, "wget -qO- http://127.0.0.1:8080/page; cat /tmp/starts")).toBe("page\nstarted");
      const { pid } = vm.workload ?? {};
      expect(await output(vm, `cat /proc/${pid}/comm`)).toBe("httpd");
      await using fork = await vm.fork();
      vm.workload?.kill("SIGKILL");
      expect(await vm.workload?.wait()).toMatchObject({ signal: "SIGKILL" });
      expect(await output(fork.vms[0] as Vm, "wget -qO- http://127.0.0.1:8080/page")).toBe("page");
      expect(fork.vms[0]?.workload?.pid).toBe(pid);
    }
  });

  test("is captured when it is done with what it does after it listens", async () => {
    const script =
      "httpd -p 8080 -h /; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; touch /tmp/done; exec sleep 1000";
    const image = await Image.fromOci(reference, { ...command(script), ready: "listener", guestPort: 8080 });
    await using vm = await image.start();
    expect(await output(vm, "ls /tmp")).toBe("done");
  });

  test("is refused with its last words when the command ends", async () => {
    const options = { ...command("echo no config >&2; exit 3"), ready: "listener" as const };
    const error = await failure(Image.fromOci(reference, options));
    expect(error).toBeInstanceOf(BakeError);
    expect(error?.message).toMatch(
      /ended with exit code 3 before it listened on port 80; its last output:\nno config$/,
    );
    expect(await listImages()).toEqual([]);
  });

  test("is refused with its last words and its ports when the command listens elsewhere", async () => {
    const options = { ...server, ready: "listener" as const, guestPort: 80, readyTimeoutMs: 4_000 };
    const error = await failure(Image.fromOci(reference, options));
    expect(error).toBeInstanceOf(BakeError);
    expect(error?.message).toMatch(
      /did not listen on port 80 within 4000 ms: .*nobody listens on port 80, but on 8080/,
    );
    expect(await listImages()).toEqual([]);
  });

  test("leaves nothing when it is given up", async () => {
    const controller = new AbortController();
    const options = { ...command("sleep 1000"), ready: "listener" as const, signal: controller.signal };
    setTimeout(() => controller.abort(new Error("enough")), 1_500);
    await expect(Image.fromOci(reference, options)).rejects.toThrow("enough");
    expect(await listImages()).toEqual([]);
  });
});

describe("an image whose VMs start its command afresh", () => {
  test("gives each VM a workload of its own", async () => {
    const options = command("echo $(hostname) >> /tmp/starts; echo run by $(hostname); exec sleep 1000");
    const image = await Image.fromOci(reference, { ...options, ready: "before-workload" });
    for (const hostname of ["one", "two"]) {
      await using vm = await image.start({ identity: { hostname } });
      await vi.waitFor(() => expect(vm.workload?.output).toBe(`run by ${hostname}\n`), 60_000);
      expect(await output(vm, "cat /tmp/starts")).toBe(hostname);
      vm.workload?.kill();
      expect(await vm.workload?.wait()).toEqual({ exitCode: 143, signal: "SIGTERM" });
    }
  });

  test("does not start it again in what is captured of a VM", async () => {
    const image = await Image.fromOci(reference, {
      ...command("echo >> /tmp/starts; exec sleep 1000"),
      ready: "before-workload",
    });
    await using vm = await image.start();
    await vi.waitFor(async () => expect(await output(vm, "wc -l < /tmp/starts")).toBe("1"), 60_000);
    const snapshot = await vm.snapshot(`${current.path}/snapshots/${randomUUID()}`);
    await using restored = await snapshot.start();
    await using fork = await vm.fork();
    for (const each of [restored, ...fork.vms]) {
      expect(await output(each, "wc -l < /tmp/starts")).toBe("1");
      expect(each.workload?.pid).toBe(vm.workload?.pid);
      each.workload?.kill();
      expect(await each.workload?.wait()).toMatchObject({ signal: "SIGTERM" });
    }
  });

  test("does not start it when it is told not to", async () => {
    const image = await Image.fromOci(reference, { ...command("touch /tmp/started"), ready: "before-workload" });
    await using vm = await image.start({ workload: false });
    expect(vm.workload).toBeUndefined();
    expect(await output(vm, "sleep 0.5; ls /tmp")).toBe("");
    await vm.startWorkload();
    await vi.waitFor(async () => expect(await output(vm, "ls /tmp")).toBe("started"), 60_000);
  });

  test("fails to start with the command's own error", async () => {
    const image = await Image.fromOci(reference, { entrypoint: ["/missing"], ready: "before-workload" });
    await expect(image.start()).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_EXEC", errno: "ENOENT" });
  });
});

describe("a warm-up", () => {
  test("is run once for its tag, and its files and processes are in every VM", async () => {
    let runs = 0;
    const warmup = async (vm: Vm) => {
      runs++;
      await vm.writeFile("/root/warm", `run ${runs}`);
      await vm.exec(["sh", "-c", "while sleep 0.1; do date +%s%N > /tmp/next; mv /tmp/next /tmp/alive; done"]);
    };
    const first = await Image.fromOci(reference, { warmup, warmupTag: "v1" });
    const again = await Image.fromOci(reference, { warmup, warmupTag: "v1" });
    expect(again.snapshotPath).toBe(first.snapshotPath);
    expect(runs).toBe(1);
    const other = await Image.fromOci(reference, { warmup, warmupTag: "v2" });
    expect(runs).toBe(2);
    await using vm = await other.start();
    expect(await vm.readFile("/root/warm", "utf8")).toBe("run 2");
    const alive = await output(vm, "cat /tmp/alive");
    expect(await output(vm, "sleep 1; cat /tmp/alive")).not.toBe(alive);
  });

  test("in which the guest ran out of memory is no matter of the VMs", async () => {
    const warmup = (vm: Vm) => vm.run(["tail", "/dev/zero"]);
    const image = await Image.fromOci(reference, { warmup, warmupTag: "hog" });
    expect(image.oomKills).toBe(1);
    await using vm = await image.start();
    const captured = await vm.snapshot(`${current.path}/snapshots/${randomUUID()}`);
    expect(captured.oomKills).toBeUndefined();
  });

  test("sees the command that listens", async () => {
    let page = "";
    await Image.fromOci(reference, {
      ...command("echo page > /page; exec httpd -f -p 80 -h /"),
      ready: "listener",
      warmupTag: "fetch",
      warmup: async (vm) => {
        page = await output(vm, "wget -qO- http://127.0.0.1/page");
      },
    });
    expect(page).toBe("page");
  });

  test("that fails, hangs or stops its VM fails the bake, and nothing is left", async () => {
    const cause = new RangeError("not today");
    const failed = await failure(Image.fromOci(reference, { warmup: () => Promise.reject(cause), warmupTag: "v1" }));
    expect(failed).toBeInstanceOf(BakeError);
    expect(failed).toMatchObject({ cause, message: expect.stringContaining("failed: not today") });
    const hung = { warmup: (vm: Vm) => vm.run(["sleep", "1000"]), warmupTag: "v1", warmupTimeoutMs: 1_000 };
    expect((await failure(Image.fromOci(reference, hung)))?.message).toMatch(/did not end within 1000 ms/);
    const stopped = await failure(Image.fromOci(reference, { warmup: (vm) => vm.stop(), warmupTag: "v1" }));
    expect(stopped).toBeInstanceOf(BakeError);
    const captured = { warmup: (vm: Vm) => vm.snapshot(`${current.path}/x`), warmupTag: "v1" };
    expect((await failure(Image.fromOci(reference, captured)))?.cause).toBeInstanceOf(UsageError);
    expect(await listImages()).toEqual([]);
  });
});

describe("the machine that was baked", () => {
  const options = (warmupTag: string) => ({
    warmupTag,
    warmup: async (vm: Vm) => {
      await vm.exec(["sh", "-c", "i=0; while sleep 0.1; do i=$((i+1)); echo $i > /tmp/ticks; done"]);
      await vi.waitFor(async () => expect(await output(vm, "cat /tmp/ticks")).not.toBe(""), 60_000);
    },
  });
  const machineId = "0123456789abcdef0123456789abcdef";
  const facts = "head -c 16 /dev/urandom | od -An -v -tx1; cat /etc/machine-id; hostname; date +%s";

  test("is the first VM of its image, and no other than one that was restored", async () => {
    let warm: Vm | undefined;
    const image = await Image.fromOci(reference, {
      warmupTag: "kept",
      warmup: async (vm) => {
        warm = vm;
        await options("").warmup(vm);
      },
    });
    const [baked] = workers();
    const identity = { hostname: "first", machineId };
    await using first = await image.start({ identity });
    expect(first.pid).toBe(baked);
    await using second = await image.start({ identity });
    expect(second.pid).not.toBe(baked);
    const before = Date.now() / 1000;
    const seen = await Promise.all([first, second].map((vm) => output(vm, facts)));
    for (const text of seen) {
      const [, id, hostname, seconds] = text.split("\n");
      expect([id, hostname]).toEqual([machineId, "first"]);
      expect(Number(seconds)).toBeGreaterThan(before - 2);
      expect(Number(seconds)).toBeLessThan(Date.now() / 1000 + 2);
    }
    expect(seen[0]?.split("\n")[0]).not.toBe(seen[1]?.split("\n")[0]);
    const ticks = await output(first, "cat /tmp/ticks");
    await vi.waitFor(async () => expect(await output(first, "cat /tmp/ticks")).not.toBe(ticks), 60_000);
    // Whoever warmed it up cannot reach into it any more.
    await expect(warm?.run(["true"])).rejects.toThrow(VmError);
    await using fork = await first.fork();
    expect(await output(fork.vms[0] as Vm, "echo alive")).toBe("alive");
  });

  test("is lent by a pool first", async () => {
    const image = await Image.fromOci(reference, options("pool"));
    const [baked] = workers();
    await using pool = image.pool();
    await using vm = await pool.acquire();
    expect(vm.pid).toBe(baked);
    expect(await output(vm, "echo alive")).toBe("alive");
  });

  test("is not waited for when it has died, nor kept for long", async () => {
    const image = await Image.fromOci(reference, options("dead"));
    process.kill(workers()[0] as number, "SIGKILL");
    await using vm = await image.start();
    expect(await output(vm, "echo alive")).toBe("alive");
    await vm.release();
    await Image.fromOci(reference, options("left"));
    expect(workers()).toHaveLength(1);
    expect(await remainingWorkers()).toEqual([]);
  });
});
