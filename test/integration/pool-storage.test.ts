import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { Image, type Pool, UsageError, type Vm } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { openDescriptors, remainingWorkers } from "../support/leftovers.js";

let image: Image;
let pool: Pool;
let folder: ReturnType<typeof temporaryFolder>;
let descriptors: number;
const onHost = (...names: string[]) => join(folder.path, ...names);
const sh = async (vm: Vm, script: string) => {
  const { stdout, stderr } = await vm.run(["sh", "-c", script], { timeoutMs: 60_000 });
  return stderr + stdout;
};

beforeAll(async () => {
  image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
  // The machine that was baked is one of them for a moment.
  await (await image.start()).stop();
  expect(await remainingWorkers()).toEqual([]);
  descriptors = openDescriptors();
  // What would be lent again as it was left, if it had nothing of its user's.
  pool = image.pool({ max: 2, restoreOnRelease: false });
});
afterAll(async () => {
  await pool?.close();
  expect(await remainingWorkers()).toEqual([]);
  // Those of processes that have ended are closed a moment later.
  await vi.waitFor(() => expect(openDescriptors()).toBe(descriptors), 60_000);
});
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder[Symbol.dispose]());

test("a VM of a pool is given a folder and a volume when it is acquired, and nobody has them after it", async () => {
  const volume = { file: onHost("data.img"), guest: "/data", sizeMiB: 32 };
  writeFileSync(onHost("of-host"), "host\n");
  {
    await using vm = await pool.acquire({ mounts: [{ host: folder.path, guest: "/src" }], volumes: [volume] });
    expect(await sh(vm, "cat /src/of-host; echo guest > /src/of-guest; echo kept > /data/file")).toBe("host\n");
    await expect(pool.acquire({ volumes: [volume] })).rejects.toThrow(/in use by process/);
    // Still at it when it is given back: that ends it, and with it what it does to the folder.
    await vm.exec(["sh", "-c", "while :; do date > /src/alive; done"]);
  }
  expect(readFileSync(onHost("of-guest"), "utf8")).toBe("guest\n");
  rmSync(onHost("alive"), { force: true });
  await using next = await pool.acquire({ volumes: [volume] });
  expect(await sh(next, "cat /data/file; ls /src/of-host")).toMatch(/No such file[\s\S]*kept\n$/);
  expect(() => readFileSync(onHost("alive"))).toThrow(/ENOENT/);
});

test("what cannot be mounted is an error, costs the pool one VM at most, and leaves the volume free", async () => {
  const volume = { file: onHost("data.img"), guest: "/data", sizeMiB: 32 };
  await expect(pool.acquire({ mounts: [{ host: onHost("missing"), guest: "/src" }] })).rejects.toThrow(UsageError);
  const impossible = { host: folder.path, guest: "/etc/passwd/x" };
  await expect(pool.acquire({ mounts: [impossible], volumes: [volume] })).rejects.toThrow(/Not a directory/);
  await using vm = await pool.acquire({ volumes: [volume] });
  expect(await sh(vm, "echo mounted > /data/file; cat /data/file")).toBe("mounted\n");
  expect(pool.stats()).toMatchObject({ failures: 0 });
});

test("a caller who gives up leaves the volume free", async () => {
  const volume = { file: onHost("data.img"), guest: "/data", sizeMiB: 32 };
  await using _first = await pool.acquire();
  await using _second = await pool.acquire();
  await expect(pool.acquire({ volumes: [volume], timeoutMs: 50 })).rejects.toThrow(/nothing became free/);
  await using vm = await image.start({ volumes: [volume] });
  expect(await sh(vm, "ls -A /data")).toBe("");
});
