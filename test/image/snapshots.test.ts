import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ImageNotFoundError, UsageError } from "../../src/errors.js";
import { listImages, removeImage } from "../../src/image/index.js";
import { acquireLock } from "../../src/store/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { putSnapshot } from "./metadata-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
let store: string;
beforeEach(() => {
  folder = temporaryFolder();
  store = join(folder.path, "snapshots");
  vi.stubEnv("SUPERMACHINE_HOME", folder.path);
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});
const names = async () => (await listImages()).map(({ name }) => name);

describe("the list", () => {
  test("has what is known of each snapshot, by name", async () => {
    putSnapshot(store, "python");
    putSnapshot(store, "alpine");
    expect(await names()).toEqual(["alpine", "python"]);
    expect((await listImages())[1]).toEqual({
      name: "python",
      reference: "oci-archive:python.tar",
      digest: `sha256:${"0".repeat(64)}`,
      createdAt: "2026-01-02T03:04:05.678Z",
      memoryMiB: 256,
      vcpus: 2,
      accelerator: "tcg",
      bytes: 123,
      path: join(store, "python"),
    });
  });

  test("is empty where there is nothing yet", async () => {
    expect(await listImages()).toEqual([]);
    expect(existsSync(store)).toBe(false);
  });

  test("leaves out what is half-made, damaged or something else", async () => {
    putSnapshot(store, "good");
    putSnapshot(store, "half.partial");
    putSnapshot(store, "old.old.partial");
    writeFileSync(join(store, "good.lock"), "");
    writeFileSync(join(store, "a-file"), "");
    mkdirSync(join(store, "empty"));
    writeFileSync(join(putSnapshot(store, "damaged"), "metadata.json"), "{");
    rmSync(join(putSnapshot(store, "stateless"), "device.state"));
    rmSync(join(putSnapshot(store, "deltaless"), "memory.delta"));
    expect(await names()).toEqual(["good"]);
  });

  test("is of another folder when one is given, or set", async () => {
    const other = join(folder.path, "other");
    putSnapshot(other, "elsewhere");
    expect((await listImages(other)).map(({ name }) => name)).toEqual(["elsewhere"]);
    vi.stubEnv("SUPERMACHINE_SNAPSHOTS", other);
    expect(await names()).toEqual(["elsewhere"]);
  });
});

describe("removing", () => {
  test("takes a snapshot and leaves the others, and no lock", async () => {
    putSnapshot(store, "one");
    putSnapshot(store, "two");
    await removeImage("one");
    expect(readdirSync(store)).toEqual(["two"]);
  });

  test("takes a damaged one too", async () => {
    writeFileSync(join(putSnapshot(store, "damaged"), "metadata.json"), "{");
    await removeImage("damaged");
    expect(readdirSync(store)).toEqual([]);
  });

  test.each(["missing", "a-file", "empty"])("what is no snapshot is an error: %s", async (name) => {
    putSnapshot(store, "good");
    writeFileSync(join(store, "a-file"), "");
    mkdirSync(join(store, "empty"));
    await expect(removeImage(name)).rejects.toThrow(ImageNotFoundError);
    await expect(removeImage(name)).rejects.toThrow(`there is no snapshot ${name}`);
    expect(readdirSync(store).sort()).toEqual(["a-file", "empty", "good"]);
  });

  test.each(["../outside", "..", ".", "", "/etc", "a\0", "good/../good"])(
    "never leaves the folder: %j",
    async (name) => {
      putSnapshot(store, "good");
      putSnapshot(folder.path, "outside");
      await expect(removeImage(name)).rejects.toThrow(UsageError);
      expect(readdirSync(store)).toEqual(["good"]);
      expect(existsSync(join(folder.path, "outside/metadata.json"))).toBe(true);
    },
  );

  test("waits for who is baking it", async () => {
    putSnapshot(store, "busy");
    const lock = await acquireLock(join(store, "busy.lock"));
    const removing = removeImage("busy");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await names()).toEqual(["busy"]);
    await lock[Symbol.asyncDispose]();
    await removing;
    expect(readdirSync(store)).toEqual([]);
  });
});
