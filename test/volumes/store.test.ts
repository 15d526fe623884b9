import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { UsageError } from "../../src/errors.js";
import { readImage } from "../../src/volumes/image-file.js";
import { createVolume, holdVolumes, inspectVolume, listVolumes, removeVolume } from "../../src/volumes/index.js";
import { lockImage } from "../../src/volumes/lock.js";
import { temporaryFolder } from "../support/layer-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", folder.path);
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});
const plan = (name: string, readOnly = false, sizeMiB?: number) => ({
  ...{ label: name, name, file: undefined, guest: "/data", readOnly, sizeMiB },
});

test("a volume is made sparse and sound, listed, looked at and removed", async () => {
  const made = await createVolume("data", { sizeMiB: 64 });
  expect(made).toMatchObject({
    name: "data",
    sizeMiB: 64,
    state: "clean",
    path: join(folder.path, "volumes/data.img"),
  });
  expect(statSync(made.path)).toMatchObject({ size: 64 * 2 ** 20, mode: 0o100600 });
  expect(made.diskBytes).toBeLessThan(8 * 2 ** 20);
  execFileSync("fsck.ext4", ["-n", "-f", made.path], { stdio: "pipe" });
  await createVolume("another", { sizeMiB: 16 });
  expect((await listVolumes()).map(({ name }) => name)).toEqual(["another", "data"]);
  expect(await inspectVolume("data")).toEqual(made);
  await expect(createVolume("data")).rejects.toThrow(/already/);
  await removeVolume("data");
  expect((await listVolumes()).map(({ name }) => name)).toEqual(["another"]);
  await expect(removeVolume("data")).rejects.toThrow(UsageError);
  await expect(inspectVolume("data")).rejects.toThrow(/no volume data/);
  expect(readdirSync(join(folder.path, "volumes"))).toEqual(["another.img"]);
});

test("several made at once are one", async () => {
  const held = await Promise.allSettled([1, 2, 3].map(() => holdVolumes([plan("new", false, 16)], {})));
  expect(held.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const each of held) if (each.status === "fulfilled") for (const volume of each.value) volume[Symbol.dispose]();
});

test("a lock is had by one writer or many readers, of whatever process, and ends with it", async () => {
  const { path } = await createVolume("data", { sizeMiB: 16 });
  const script = `import { lockImage } from ${JSON.stringify(join(process.cwd(), "src/volumes/lock.ts"))};
    try { lockImage(${JSON.stringify(path)}, process.argv[1], "data"); console.log("got it"); } catch (error) { console.log(error.message); }`;
  const elsewhere = (use: string) =>
    spawnSync("node_modules/.bin/tsx", ["--input-type=module", "-e", script, use], { encoding: "utf8" }).stdout;
  {
    using _reader = lockImage(path, "read", "data");
    expect(elsewhere("read")).toBe("got it\n");
    expect(elsewhere("write")).toContain(`in use by process ${process.pid}`);
  }
  {
    using _writer = lockImage(path, "write", "data");
    expect(elsewhere("read")).toContain(`in use by process ${process.pid}`);
  }
  expect(elsewhere("write")).toBe("got it\n");
  using _again = lockImage(path, "write", "data");
}, 60_000);

test("a file system that its kernel has found errors in is not given to a VM", async () => {
  const { path } = await createVolume("data", { sizeMiB: 16 });
  const file = openSync(path, "r+");
  writeSync(file, Buffer.from([2, 0]), 0, 2, 1024 + 58);
  expect((await readImage(path)).state).toBe("errors");
  await expect(holdVolumes([plan("data")], {})).rejects.toThrow(/damaged[\s\S]*e2fsck/);
  writeSync(file, Buffer.from([0, 0]), 0, 2, 1024 + 56);
  await expect(holdVolumes([plan("data")], {})).rejects.toThrow(/does not hold ext4/);
});

test("a volume grows and does not shrink, and one of several that fails frees the others", async () => {
  await createVolume("data", { sizeMiB: 16 });
  const [held] = await holdVolumes([plan("data", false, 32)], {});
  held?.[Symbol.dispose]();
  expect((await inspectVolume("data")).sizeMiB).toBe(32);
  await createVolume("other", { sizeMiB: 16 });
  await expect(holdVolumes([plan("other"), plan("data", false, 16)], {})).rejects.toThrow(/not shrink/);
  const again = await holdVolumes([plan("other"), plan("data")], {});
  for (const each of again) each[Symbol.dispose]();
  expect(existsSync(join(folder.path, "volumes/other.img"))).toBe(true);
});
