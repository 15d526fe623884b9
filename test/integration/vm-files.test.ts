import { text } from "node:stream/consumers";
import { finished } from "node:stream/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type FileEvent, Image, UsageError, type Vm } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

let vm: Vm;
beforeAll(async () => {
  const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`, { memoryMiB: 1024 });
  vm = await image.start();
});
afterAll(async () => {
  await vm.stop();
  expect(await remainingWorkers()).toEqual([]);
});

test("files are listed, looked at, changed and removed", async () => {
  await vm.files.mkdir("/folder/deep/er", { recursive: true, user: "app" });
  await vm.writeFile("/folder/deep/file", "content");
  await vm.files.symlink("deep/file", "/folder/link");
  await vm.files.chmod("/folder/deep", 0o700, { recursive: true });
  await vm.files.chown("/folder/deep/file", "app");
  expect((await vm.files.list("/folder", { recursive: true })).map(({ name, type }) => `${name} ${type}`)).toEqual([
    "deep directory",
    "deep/er directory",
    "deep/file file",
    "link symlink",
  ]);
  expect(await vm.files.stat("/folder/link")).toMatchObject({
    type: "file",
    size: 7,
    mode: 0o700,
    uid: 1000,
    gid: 1000,
  });
  expect(await vm.files.lstat("/folder/link")).toMatchObject({ type: "symlink" });
  expect(await vm.files.readlink("/folder/link")).toBe("deep/file");
  await expect(vm.files.readlink("/folder/deep")).rejects.toMatchObject({ errno: "EINVAL" });
  await vm.files.rename("/folder/deep/file", "/folder/moved");
  expect([await vm.files.exists("/folder/link"), await vm.files.exists("/folder/moved")]).toEqual([false, true]);
  expect(await vm.files.exists("/folder/moved/below")).toBe(false);
  await vm.files.remove("/folder", { recursive: true });
  expect(await vm.files.exists("/folder")).toBe(false);
  await vm.files.remove("/folder", { force: true });
});

test("a path leads nowhere but into the guest", async () => {
  await vm.files.remove("/tmp/out", { force: true });
  await vm.files.symlink("../../../../../../etc", "/tmp/out");
  const names = (await vm.files.list("/tmp/out")).map(({ name }) => name);
  expect(names).toContain("passwd");
  expect(names).not.toContain("machine-id-of-the-host");
  expect((await vm.files.list("/../..")).map(({ name }) => name)).toContain("tmp");
  // The agent's own root has these.
  for (const path of ["/modules", "/../modules", "/cgroup"]) expect(await vm.files.exists(path)).toBe(false);
});

test("100,000 files are listed and removed", async () => {
  const script =
    "rm -rf /many; mkdir /many; cd /many; for d in 0 1 2 3 4 5 6 7 8 9; do mkdir $d; (cd $d; seq 1 10000 | xargs touch); done";
  expect((await vm.run(["sh", "-c", script])).exitCode).toBe(0);
  let count = 0;
  for await (const { type } of vm.files.walk("/many", { recursive: true })) count += type === "file" ? 1 : 0;
  expect(count).toBe(100_000);
  await vm.files.remove("/many", { recursive: true });
});

test("streams read and write parts", async () => {
  const stream = vm.files.createWriteStream("/tmp/parts", { mode: 0o600 });
  stream.write("hello ");
  stream.end("world");
  await finished(stream);
  const patch = vm.files.createWriteStream("/tmp/parts", { flags: "r+", start: 6 });
  patch.end("WORLD");
  await finished(patch);
  const more = vm.files.createWriteStream("/tmp/parts", { flags: "a" });
  more.end("!");
  await finished(more);
  expect(await text(vm.files.createReadStream("/tmp/parts"))).toBe("hello WORLD!");
  expect(await text(vm.files.createReadStream("/tmp/parts", { start: 4, end: 7 }))).toBe("o WO");
  expect(await vm.files.stat("/tmp/parts")).toMatchObject({ mode: 0o600 });
  expect(() => vm.files.createReadStream("/tmp/parts", { start: 5, end: 2 })).toThrow(UsageError);
});

test("a folder is watched while commands work in it; too much at once is told", async () => {
  await vm.files.remove("/watched", { recursive: true, force: true });
  await vm.files.mkdir("/watched");
  using watcher = await vm.files.watch("/watched", { recursive: true });
  await vm.run(["sh", "-c", "mkdir /watched/a; echo x > /watched/a/f; mv /watched/a/f /watched/g"]);
  const seen: FileEvent[] = [];
  for await (const event of watcher) {
    seen.push(event);
    if (event.type === "created" && event.path === "g") break;
  }
  expect(seen).toContainEqual({ type: "created", path: "a/f" });
  expect(seen).toContainEqual({ type: "removed", path: "a/f" });

  // Nobody reads yet: long names soon take all that may be on the way, and the kernel keeps few for a watcher made from now on.
  await vm.run(["sh", "-c", "echo 16 > /proc/sys/fs/inotify/max_queued_events"]);
  using busy = await vm.files.watch("/watched");
  const flood = `cd /watched; seq 1 8000 | sed 's/^/${"x".repeat(200)}/' | xargs touch`;
  expect((await vm.run(["sh", "-c", flood])).exitCode).toBe(0);
  const types = new Set<string>();
  for await (const { type } of busy) {
    types.add(type);
    if (type === "overflow") break;
  }
  expect(types).toContain("overflow");
});
