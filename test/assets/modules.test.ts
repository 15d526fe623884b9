import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { modulesInOrder } from "../../src/assets/modules.js";
import { AssetsError } from "../../src/errors.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { KERNEL_MODULES, moduleFile } from "./kernel-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder[Symbol.dispose]());

/** Makes a folder like /lib/modules/VERSION, and gives the names of the modules in their order. */
async function order(modules: Record<string, string[]>, builtin: string[] = []): Promise<string[]> {
  for (const [path, depends] of Object.entries(modules)) {
    const file = join(folder.path, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, moduleFile(depends));
  }
  writeFileSync(join(folder.path, "modules.builtin"), builtin.map((path) => `${path}\n`).join(""));
  return (await modulesInOrder(folder.path)).map((path) => basename(path).replace(/\.ko.*$/, ""));
}

const { "kernel/fs/fuse/fuse.ko": _, ...withoutFuse } = KERNEL_MODULES;

test("each module comes after the ones it depends on, once, and those that nobody wants do not come", async () => {
  const names = await order(KERNEL_MODULES);
  for (const [path, depends] of Object.entries(KERNEL_MODULES)) {
    const before = names.slice(0, names.indexOf(basename(path, ".ko")));
    if (names.includes(basename(path, ".ko"))) expect(before).toEqual(expect.arrayContaining(depends));
  }
  const wanted = Object.keys(KERNEL_MODULES).map((path) => basename(path, ".ko"));
  expect(names.toSorted()).toEqual(wanted.filter((name) => name !== "not-wanted").toSorted());
});

test("a dash in a name is the same as an underscore", async () => {
  const names = await order({
    ...withoutFuse,
    "fuse.ko": ["some-thing"],
    "some_thing.ko": ["other_thing"],
    "other-thing.ko": [],
  });
  expect(names.indexOf("other-thing")).toBeLessThan(names.indexOf("some_thing"));
  expect(names.indexOf("some_thing")).toBeLessThan(names.indexOf("fuse"));
});

test("what the kernel has built in is not missing, as a dependency neither", async () => {
  const names = await order({ ...withoutFuse, "kernel/fs/erofs/erofs.ko": ["lib_lz4"] }, [
    "kernel/fs/fuse/fuse.ko",
    "kernel/lib/lib-lz4.ko",
  ]);
  expect(names).not.toContain("fuse");
  expect(names).toContain("erofs");
});

test("a wanted module that is nowhere is an error with its name", async () => {
  await expect(order(withoutFuse)).rejects.toThrow(AssetsError);
  await expect(order(withoutFuse)).rejects.toThrow(/has no module fuse/);
  await expect(order({ ...KERNEL_MODULES, "kernel/fs/fuse/fuse.ko": ["nowhere"] })).rejects.toThrow(
    /no module nowhere/,
  );
});

test("what is only useful is taken along where it is there", async () => {
  expect(await order({ ...KERNEL_MODULES, "virtio_balloon.ko": ["virtio"] })).toContain("virtio_balloon");
});
