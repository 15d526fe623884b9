import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import {
  createVolume,
  Image,
  inspectVolume,
  listVolumes,
  removeVolume,
  UsageError,
  type Vm,
  type VolumeOptions,
} from "../../src/index.js";
import { readImage } from "../../src/volumes/image-file.js";
import { volumePath } from "../../src/volumes/store.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { litter, remainingWorkers } from "../support/leftovers.js";

let image: Image;
let folder: ReturnType<typeof temporaryFolder>;
const place = (name: string) => join(folder.path, name);
const start = (...volumes: VolumeOptions[]) => image.start({ volumes });
const sh = async (vm: Vm, script: string, user = "root") => {
  const { stdout, stderr } = await vm.run(["sh", "-c", script], { user, timeoutMs: 150_000 });
  return stderr + stdout;
};
/** Says on its own what it thinks of a file system that is not in use. */
const check = (path: string) => execFileSync("fsck.ext4", ["-n", "-f", path], { stdio: "pipe" }).toString();

beforeAll(async () => {
  image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
});
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  for (const { name } of await listVolumes()) await removeVolume(name);
  folder[Symbol.dispose]();
  vi.unstubAllEnvs();
  expect(await remainingWorkers()).toEqual([]);
});
afterAll(() => expect(litter()).toEqual([]));

test("what is on a volume outlives the VM, and the file is clean and sparse", async () => {
  {
    await using vm = await start({ name: "data", guest: "/data" });
    expect(await sh(vm, "ls -A /data; echo kept > /data/file; df -m /data | tail -n 1")).toMatch(/ 9\d\d +\d+% \/data/);
    // Ended at once, not in order: it is flushed all the same.
  }
  const path = volumePath("data");
  check(path);
  expect(await inspectVolume("data")).toMatchObject({ name: "data", sizeMiB: 1024, state: "clean", path });
  expect(statSync(path).blocks * 512).toBeLessThan(64 * 2 ** 20);
  await using again = await start({ name: "data", guest: "/other/place" });
  expect(await sh(again, "cat /other/place/file")).toBe("kept\n");
});

test("a new volume belongs to whom the image's folder belongs", async () => {
  await using vm = await start({ file: place("home.img"), guest: "/home/app", sizeMiB: 64 });
  expect(await sh(vm, "cd /home/app && touch mine && stat -c '%U %a' . mine && ls -A", "app")).toBe(
    "app 700\napp 644\nmine\n",
  );
});

test("space that is freed in the guest is freed on the host", async () => {
  const file = place("freed.img");
  {
    await using vm = await start({ file, guest: "/data", sizeMiB: 256 });
    await sh(vm, "dd if=/dev/urandom of=/data/large bs=1M count=100 2>/dev/null; sync");
    expect(statSync(file).blocks * 512).toBeGreaterThan(100 * 2 ** 20);
    await sh(vm, "rm /data/large; sync");
  }
  expect(statSync(file).blocks * 512).toBeLessThan(60 * 2 ** 20);
});

test("a guest that fills its volume is told so, goes on, and takes no more of the host's disk than that", async () => {
  const file = place("full.img");
  await using vm = await start({ file, guest: "/data", sizeMiB: 64 });
  const fill =
    "dd if=/dev/urandom of=/data/fill bs=1M 2>&1 | grep -c 'No space left'; echo x > /data/more; sync; echo on";
  expect(await sh(vm, fill)).toMatch(/1\n(.*No space left.*\n)?on\n$/);
  expect(statSync(file).blocks * 512).toBeLessThanOrEqual(64 * 2 ** 20);
  expect(await sh(vm, "rm /data/fill; echo fits > /data/file; cat /data/file")).toBe("fits\n");
  await vm.stop();
  check(file);
});

test("a volume grows with its content", async () => {
  const file = place("growing.img");
  {
    await using vm = await start({ file, guest: "/data", sizeMiB: 32 });
    await sh(vm, "echo kept > /data/file");
  }
  {
    await using vm = await start({ file, guest: "/data", sizeMiB: 512 });
    expect(await sh(vm, "cat /data/file; df -m /data | tail -n 1")).toMatch(/kept\n.* 4\d\d +\d+% \/data/);
  }
  check(file);
  await expect(start({ file, guest: "/data", sizeMiB: 64 })).rejects.toThrow(/can grow, but not shrink/);
});

test("one VM writes or many read, and the error names who is in the way", async () => {
  await createVolume("shared", { sizeMiB: 32 });
  const shared = { name: "shared", guest: "/data" };
  {
    await using writer = await start(shared);
    await sh(writer, "echo content > /data/file");
    for (const readOnly of [false, true]) {
      const refused = await start({ ...shared, readOnly }).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(UsageError);
      expect((refused as Error).message).toContain(`in use by process ${process.pid}`);
    }
    await expect(removeVolume("shared")).rejects.toThrow(/in use by process/);
  }
  await using one = await start({ ...shared, readOnly: true });
  await using two = await start({ ...shared, readOnly: true });
  expect(await sh(one, "cat /data/file; echo x > /data/file")).toMatch(/Read-only file system[\s\S]*content\n/);
  expect(await sh(two, "cat /data/file")).toBe("content\n");
  await expect(start(shared)).rejects.toThrow(/in use/);
});

test("a VM that is killed while it writes leaves a volume that can be used", async () => {
  const file = place("crash.img");
  for (let round = 0; round < 3; round++) {
    const vm = await start({ file, guest: "/data", sizeMiB: 128 });
    await sh(vm, `echo ${round} > /data/synced-${round}; sync`);
    const script = `i=0; while :; do i=$((i+1)); mkdir -p /data/d$((i%7)); head -c 70000 /dev/urandom > /data/d$((i%7))/f$((i%50))
      [ $((i%5)) -ne 0 ] || sync; done`;
    const writing = vm.exec(["sh", "-c", script]);
    writing.then((child) => child.wait()).catch(() => undefined);
    await sleep(700);
    process.kill(vm.pid, "SIGKILL");
    expect(await remainingWorkers()).toEqual([]);
    await vm.stop();
    expect((await readImage(file)).state).toBe("journal");
  }
  await using vm = await start({ file, guest: "/data" });
  expect(await sh(vm, "cat /data/synced-*; rm -r /data/d*; dmesg | grep -c 'EXT4-fs error'")).toBe("0\n1\n2\n0\n");
  await vm.stop();
  check(file);
});

test("a VM with a volume is not captured", async () => {
  await using vm = await start({ file: place("one.img"), guest: "/data", sizeMiB: 32 });
  await expect(vm.snapshot(place("snapshot"))).rejects.toThrow(/with volumes cannot be captured/);
  await expect(vm.fork()).rejects.toThrow(/with volumes cannot be captured/);
  expect(existsSync(place("snapshot"))).toBe(false);
  expect(await sh(vm, "echo goes on")).toBe("goes on\n");
});

test("volumes and folders can be within each other", async () => {
  writeFileSync(place("of-host"), "host");
  await using vm = await image.start({
    mounts: [{ host: folder.path, guest: "/src" }],
    volumes: [{ file: place("modules.img"), guest: "/src/node_modules", sizeMiB: 32 }],
  });
  await sh(vm, "echo x > /src/node_modules/file");
  expect(await sh(vm, "ls /src/node_modules; cat /src/of-host")).toBe("file\nhost");
});

test("fsx-like random writes read back as they were written, also after the VM has ended", async () => {
  const script = readFileSync(join(import.meta.dirname, "../support/random-writes.sh"), "utf8");
  const file = place("fsx.img");
  let sum = "";
  {
    await using vm = await start({ file, guest: "/data", sizeMiB: 64 });
    sum = (await sh(vm, `cd /data; ${script}`)).trim();
    expect(sum).toMatch(/^[0-9a-f]{64}$/);
  }
  await using again = await start({ file, guest: "/data" });
  expect((await sh(again, "sha256sum < /data/subject")).split(" ")[0]).toBe(sum);
});

test("what is no volume, or damaged, is refused and not touched", async () => {
  writeFileSync(place("text"), "no file system".repeat(1000));
  await expect(start({ file: place("text"), guest: "/data" })).rejects.toThrow(/does not hold ext4/);
  expect(readFileSync(place("text"), "utf8")).toBe("no file system".repeat(1000));
  await expect(start({ name: "missing", guest: "/data", readOnly: true })).rejects.toThrow(/no volume missing/);
});
