import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ImageNotFoundError } from "../../src/errors.js";
import { listImages, readMetadata, removeImage, tagImage, tagSnapshot } from "../../src/image/index.js";
import { prune, pruneBuildCache, verifyStore } from "../../src/maintenance/index.js";
import { StoreFixture } from "../maintenance/store-fixture.js";

let store: StoreFixture;
let folder: string;
beforeEach(async () => {
  store = new StoreFixture();
  store.template("key");
  folder = await store.snapshot("app", [await store.layer("base")]);
});
afterEach(() => store[Symbol.dispose]());

const inode = (path: string, file: string) => statSync(join(path, file)).ino;

test("another name of a snapshot shares its files and all that is known of it", async () => {
  const tagged = await tagSnapshot(folder, "registry.example/team/app:1.0", {});
  expect(tagged).toBe(join(store.path, "snapshots/registry.example%2Fteam%2Fapp%3A1.0"));
  for (const file of ["memory.delta", "device.state"]) expect(inode(tagged, file)).toBe(inode(folder, file));
  const [own, other] = [await readMetadata(folder), await readMetadata(tagged)];
  expect(other).toEqual({ ...own, name: "registry.example/team/app:1.0" });
  expect((await listImages()).map(({ name }) => name)).toEqual(["app", "registry.example/team/app:1.0"]);
  expect((await verifyStore()).problems).toEqual([]);
});

test("each name is removed by itself; the last one keeps everything", async () => {
  const tagged = await tagSnapshot(folder, "other", {});
  const state = readFileSync(join(folder, "device.state"));
  await removeImage("app");
  await prune();
  await pruneBuildCache();
  expect(readFileSync(join(tagged, "device.state"))).toEqual(state);
  expect((await verifyStore()).problems).toEqual([]);
});

test("a name that is that snapshot's already stays, one of another's is taken over", async () => {
  const tagged = await tagSnapshot(folder, "other", {});
  const before = inode(tagged, "metadata.json");
  await tagSnapshot(folder, "other", {});
  expect(inode(tagged, "metadata.json")).toBe(before);
  const newer = await store.snapshot("newer", [await store.layer("newer")], { key: "f".repeat(64) });
  await tagSnapshot(newer, "other", {});
  expect((await readMetadata(tagged)).key).toBe("f".repeat(64));
  expect(inode(tagged, "device.state")).toBe(inode(newer, "device.state"));
  expect(existsSync(join(folder, "device.state"))).toBe(true);
});

test("an image is tagged by its name, and never in the place of a VM's state", async () => {
  expect(await tagImage("docker.io/library/app", "other:latest")).toBe("other");
  expect(await tagImage("app", "app")).toBe("app");
  expect((await listImages()).map(({ name }) => name)).toEqual(["app", "other"]);
  await store.snapshot("state", [], { captured: true });
  await expect(tagImage("app", "state")).rejects.toThrow("state of a VM that ran");
  expect(await tagImage("state", "kept")).toBe("kept");
  await expect(tagImage("none", "x")).rejects.toThrow(ImageNotFoundError);
});

test("a name that is none, or a snapshot that is gone, leaves nothing", async () => {
  await expect(tagSnapshot(folder, "../x", {})).rejects.toThrow();
  await removeImage("app");
  await expect(tagSnapshot(folder, "other", {})).rejects.toThrow("there is no snapshot");
  expect(readdirSync(join(store.path, "snapshots"))).toEqual([]);
});
