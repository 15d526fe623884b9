import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { bundleImage, CacheInvalidError, Image, saveImage, UsageError, type Vm } from "../../src/index.js";
import { home } from "../../src/store/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { litter, remainingWorkers } from "../support/leftovers.js";
import { freshHome } from "../support/test-home.js";

const DISK_MIB = 512;

let reference: string;
let image: Image;
let folder: ReturnType<typeof temporaryFolder>;
const sh = async (vm: Vm, script: string) => {
  const { stdout, stderr } = await vm.run(["sh", "-c", script], { timeoutMs: 120_000 });
  return stderr + stdout;
};
/** Files of guests' disks that have a name. */
const disks = () => readdirSync(home().run).filter((name) => name.endsWith(".disk"));

beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
  image = await Image.fromOci(reference, { writable: "disk", diskMiB: DISK_MIB });
});
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  folder[Symbol.dispose]();
  expect(disks()).toEqual([]);
  expect(await remainingWorkers()).toEqual([]);
});
afterAll(() => expect(litter()).toEqual([]));

test("its size is seen in the guest, and what nobody writes takes no space", async () => {
  expect(image.diskMiB).toBe(DISK_MIB);
  expect(statSync(join(image.snapshotPath, "root.disk")).size).toBeLessThan(8 * 2 ** 20);
  await using vm = await image.start();
  const [, size] = /^overlay +(\d+)/m.exec(await sh(vm, "df -m /")) ?? [];
  expect(Number(size)).toBeGreaterThan(DISK_MIB * 0.9);
  expect(Number(size)).toBeLessThanOrEqual(DISK_MIB);
  // Its file has no name: however this process ends, the space is free again.
  expect(disks()).toEqual([]);
});

test("more than the memory can be written, and a full disk is an error for whoever writes", async () => {
  await using vm = await image.start();
  await sh(vm, "head -c 10m /dev/urandom > /part; i=0; while [ $i -lt 30 ]; do cat /part; i=$((i+1)); done > /large");
  expect(await sh(vm, "du -m /large; free -m")).toMatch(/^300\b(.|\n)*Mem: +2\d\d /);
  const look = "sync; echo 3 > /proc/sys/vm/drop_caches; tail -c 10m /large | cmp - /part && echo same";
  expect(await sh(vm, look)).toBe("same\n");
  expect(await sh(vm, "dd if=/dev/zero of=/more bs=1M count=1000")).toContain("No space left on device");
  expect(await sh(vm, `rm /more; ${look}; echo works > /small; cat /small`)).toBe("same\nworks\n");
});

test("forks and forks of forks go on with what was there, and write for themselves", async () => {
  await using vm = await image.start();
  await sh(vm, "head -c 20m /dev/urandom > /large; md5sum /large > /sum; echo source > /who");
  await using first = await vm.fork();
  const [clone] = first.vms;
  if (!clone) throw new Error("there is no clone");
  await sh(clone, "echo clone > /who; head -c 1m /dev/urandom > /large; md5sum /large > /sum");
  await using second = await clone.fork({ count: 2 });
  await Promise.all(second.vms.map((each, i) => sh(each, `echo ${i} >> /who`)));
  const look = "echo 3 > /proc/sys/vm/drop_caches; md5sum -c /sum; cat /who";
  expect(await sh(vm, look)).toBe("/large: OK\nsource\n");
  expect(await sh(clone, look)).toBe("/large: OK\nclone\n");
  const seen = await Promise.all(second.vms.map((each) => sh(each, look)));
  expect(seen).toEqual(["/large: OK\nclone\n0\n", "/large: OK\nclone\n1\n"]);
});

/** Writes for as long as it can: each folder is whole, with a sum, before `/current` leads to it. */
const WRITER = `echo $$ > /pid; mkdir /0; i=0; while [ $i -lt 300 ]; do i=$((i+1)); mkdir /$i
  head -c 1m /dev/urandom > /$i/data; md5sum /$i/data > /$i/sum; sync; ln -sfn $i /current; rm -r /$((i-1)); done`;
/** Lets the writer stand still, and reads what it has written from the disk. */
const CHECK = "kill -STOP $(cat /pid); sync; echo 3 > /proc/sys/vm/drop_caches; md5sum -c /current/sum";

test("a snapshot is the disk as it was at one moment, though the VM goes on to write", async () => {
  const path = join(folder.path, "taken");
  await using vm = await image.start();
  const writer = await vm.exec(["sh", "-c", WRITER]);
  await vm.run(["sh", "-c", "while [ ! -e /current ]; do sleep 0.05; done"]);
  const taken = await vm.snapshot(path);
  await using restored = await taken.start();
  for (const each of [restored, vm]) expect(await sh(each, CHECK)).toMatch(/^\/\d+\/data: OK\n$/);
  expect(await sh(restored, "dmesg | grep -i 'ext4.*error'")).toBe("");
  writer.kill("SIGKILL");
});

test("a VM of a pool has nothing of what the one before it wrote, not even on the bare disk", async () => {
  await using pool = image.pool({ max: 1 });
  const secret = randomBytes(12).toString("hex");
  // Where the groups of blocks begin, in which the first files are.
  const search = `cd /sys/class/block; for d in *; do [ $(cat $d/size) = ${DISK_MIB * 2048} ] && number=$(cat $d/dev); done
    mknod /dev/own b \${number%:*} \${number#*:}; for at in 0 128 256 384; do dd if=/dev/own bs=1M skip=$at count=32 2>/dev/null; done | tr -d '\\0' | grep -c ${secret}`;
  {
    await using vm = await pool.acquire();
    await sh(vm, `i=0; while [ $i -lt 1000 ]; do echo ${secret}; i=$((i+1)); done > /secret; sync`);
    expect(Number(await sh(vm, search))).toBeGreaterThan(500);
  }
  await using vm = await pool.acquire();
  expect(await sh(vm, "ls /secret")).toContain("No such file");
  expect(await sh(vm, search)).toBe("0\n");
});

test.runIf(process.getuid?.() === 0)("a full disk of the host is an error in the guest, which goes on", async () => {
  using other = freshHome();
  const run = join(other.path, "run");
  mkdirSync(run);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "supermachine-test", run]);
  try {
    await using vm = await (await Image.fromSnapshot(image.snapshotPath)).start();
    await sh(vm, "head -c 40m /dev/urandom > /large");
    await expect.poll(() => sh(vm, "sync; dmesg | grep -c 'error'")).toMatch(/^[1-9]\d*\n$/);
    expect(await sh(vm, "rm /large; echo works")).toBe("works\n");
  } finally {
    execFileSync("umount", ["--lazy", run]);
  }
});

test("the disk goes along into a bundle and into an artifact, and is used in another home", async () => {
  const [taken, bundle, layout] = ["taken", "bundle", "layout/"].map((name) => join(folder.path, name));
  if (!taken || !bundle || !layout) throw new Error("there is no path");
  {
    await using vm = await image.start();
    await sh(vm, "head -c 3m /dev/urandom > /data; md5sum /data > /sum; sync; echo 3 > /proc/sys/vm/drop_caches");
    await vm.snapshot(taken);
  }
  await bundleImage(taken, bundle);
  await saveImage(taken, layout);
  using _home = freshHome(["assets"]);
  for (const source of [bundle, `oci-layout:${layout}`]) {
    const other = await Image.open(source);
    expect(other.diskMiB).toBe(DISK_MIB);
    await using vm = await other.start();
    expect(await sh(vm, "md5sum -c /sum; echo more > /more; cat /more")).toBe("/data: OK\nmore\n");
  }
});

test("what it was baked with cannot be changed, and a damaged disk is refused", async () => {
  const path = join(folder.path, "taken");
  {
    await using vm = await image.start();
    await vm.snapshot(path);
  }
  await expect(Image.open(path, { writable: "memory" })).rejects.toThrow(UsageError);
  await expect(Image.open(path, { diskMiB: 100 })).rejects.toThrow(`on a disk of ${DISK_MIB} MiB`);
  expect((await Image.open(path, { writable: "disk" })).diskMiB).toBe(DISK_MIB);
  truncateSync(join(path, "root.disk"), 200_000);
  const broken = await Image.fromSnapshot(path);
  await expect(broken.start()).rejects.toThrow(CacheInvalidError);
  await expect(broken.start()).rejects.toThrow("root.disk is truncated or corrupt");
});
