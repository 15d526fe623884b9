import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CacheInvalidError, CacheMissError, ImageNotFoundError, UsageError } from "../../src/errors.js";
import { Image, type SnapshotMetadata } from "../../src/image/index.js";
import { Machine, type RestoreSource, type Runtime } from "../../src/machine/index.js";
import { Delta } from "../../src/memory/index.js";
import { sweepPartials } from "../../src/store/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { metadata, putSnapshot } from "./metadata-fixture.js";

const engine = vi.hoisted(() => ({ runtime: {} as object, template: undefined as object | undefined }));
vi.mock("../../src/machine/index.js", async (original) => ({
  ...(await original<typeof import("../../src/machine/index.js")>()),
  openRuntime: async () => engine.runtime,
  findTemplateById: async (_runtime: unknown, _size: unknown, wanted: { key: string; id: string }) => {
    const there = engine.template as { key: string; id: string } | undefined;
    return there?.key === wanted.key && there.id === wanted.id ? there : undefined;
  },
}));

const STATE = Buffer.from("the device state");
const { template } = metadata();

let folder: ReturnType<typeof temporaryFolder>;
/** Called in the middle of a capture. */
let during: () => Promise<void>;
let restored: RestoreSource[];

beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", folder.path);
  during = async () => undefined;
  restored = [];
  engine.runtime = { accelerator: "tcg", hypervisor: { identity: template.hypervisor } } as Partial<Runtime>;
  engine.template = { key: template.key, id: template.id, hardware: template };
  vi.spyOn(Machine, "restore").mockImplementation(async (_runtime, source) => {
    const state = await source.state;
    restored.push({ ...source, state });
    const agent = { network: { open: () => undefined }, closed: new Promise(() => undefined) };
    return {
      template: engine.template,
      disks: source.disks,
      capture,
      agent,
      ended: agent.closed,
    } as unknown as Machine;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

async function capture(into: string): Promise<{ pausedMs: number }> {
  await during();
  await new Delta(4096, [], Buffer.alloc(0)).write(join(into, "memory.delta"));
  writeFileSync(join(into, "device.state"), STATE);
  return { pausedMs: 0 };
}

/** Puts a snapshot that can be started. */
async function good(changes: Partial<SnapshotMetadata> = {}): Promise<string> {
  const layer = join(folder.path, "layer.erofs");
  writeFileSync(layer, "x");
  const deviceState = { bytes: STATE.length, crc32: crc32(STATE) };
  const path = putSnapshot(folder.path, "good", {
    layers: [{ lun: 1, path: layer, diffId: "d" }],
    deviceState,
    ...changes,
  });
  rmSync(join(path, "memory.delta"));
  await capture(path);
  return path;
}

describe("a snapshot", () => {
  test("is opened with what is known of it", async () => {
    const image = await Image.fromSnapshot(await good());
    expect(image).toMatchObject({ name: "good", memoryMiB: 256, vcpus: 2, snapshotPath: join(folder.path, "good") });
    expect(image.config).toEqual(metadata().config);
    image.config.cmd.push("changed");
    expect(image.config).toEqual(metadata().config);
  });

  test.each<[string, Partial<SnapshotMetadata>, number | undefined]>([
    ["of a guest in which nothing of the image has run", {}, 0],
    ["of a bake that has run something", { captured: true, oomKills: 2 }, 2],
    ["of a bake whose command listens", { workloadPid: 7, oomKills: 0 }, 0],
    ["of a running VM", { captured: true }, undefined],
    ["of a former version whose command listens", { workloadPid: 7 }, undefined],
  ])("%s knows how many processes had been ended for want of memory", async (_what, changes, kills) => {
    expect((await Image.fromSnapshot(await good(changes))).oomKills).toBe(kills);
  });

  test("is restored from its delta, its state and its layers, which are read once", async () => {
    const image = await Image.fromSnapshot(await good());
    await Promise.all([image.start(), image.start()]);
    expect(restored).toHaveLength(2);
    expect(restored[0]?.state).toBe(restored[1]?.state);
    expect(restored[0]).toMatchObject({
      disks: [{ lun: 1 }],
      state: { delta: { ramBytes: 4096 }, deviceState: STATE },
    });
  });

  test.each<[string, () => void, RegExp]>([
    ["another template", () => Object.assign(engine.template ?? {}, { key: "other" }), /is gone or was made anew/],
    ["a template that was made anew", () => Object.assign(engine.template ?? {}, { id: "other" }), /made anew/],
    ["no template", () => Object.assign(engine, { template: undefined }), /is gone/],
    [
      "another hypervisor",
      () =>
        Object.assign(engine, { template: undefined, runtime: { accelerator: "tcg", hypervisor: { identity: "q" } } }),
      /it was made with qemu 7.2; devices 1, here is q$/m,
    ],
    [
      "another accelerator",
      () => {
        Object.assign(engine.runtime, { accelerator: "kvm" });
        engine.template = undefined;
      },
      /made with tcg, here kvm is used/,
    ],
  ])("that needs %s than there is cannot be opened, with the reason", async (_, change, reason) => {
    const path = await good();
    change();
    await expect(Image.fromSnapshot(path)).rejects.toThrow(CacheInvalidError);
    await expect(Image.fromSnapshot(path)).rejects.toThrow(reason);
    await expect(Image.fromSnapshot(path)).rejects.toThrow("Bake it anew from oci-archive:python.tar.");
  });

  test.each<[string, (path: string) => void, new (message: string) => Error]>([
    ["its delta is missing", (path) => rmSync(join(path, "memory.delta")), CacheMissError],
    ["its state is missing", (path) => rmSync(join(path, "device.state")), CacheMissError],
    ["a layer is missing", (path) => rmSync(join(path, "../layer.erofs")), CacheMissError],
    ["its delta is cut", (path) => truncateSync(join(path, "memory.delta"), 63), CacheInvalidError],
    ["its state is cut", (path) => truncateSync(join(path, "device.state"), 3), CacheInvalidError],
    [
      "its state is another",
      (path) => writeFileSync(join(path, "device.state"), "THE device state"),
      CacheInvalidError,
    ],
  ])("cannot be started because %s, and can once that is mended", async (_, damage, error) => {
    const path = await good();
    const image = await Image.fromSnapshot(path);
    damage(path);
    await expect(image.start()).rejects.toThrow(error);
    expect(restored).toEqual([]);
    await good();
    await image.start();
    expect(restored).toHaveLength(1);
  });

  test("that is not there is not found", async () => {
    await expect(Image.fromSnapshot(join(folder.path, "missing"))).rejects.toThrow(ImageNotFoundError);
  });
});

describe("a snapshot of a running VM", () => {
  const place = () => join(folder.path, "snapshots/new");
  const start = async () => (await Image.fromSnapshot(await good())).start();

  test("is an image of its own with the same configuration and layers", async () => {
    const vm = await start();
    const image = await vm.snapshot(place());
    expect(image).toMatchObject({ name: "new", snapshotPath: place() });
    const written = JSON.parse(readFileSync(join(place(), "metadata.json"), "utf8"));
    expect(written).toMatchObject({ config: metadata().config, layers: [{ lun: 1, diffId: "d" }], template });
    expect(readdirSync(join(folder.path, "snapshots"))).toEqual(["new"]);
    await image.start();
  });

  test("never overwrites", async () => {
    const vm = await start();
    await expect(vm.snapshot(join(folder.path, "good"))).rejects.toThrow(UsageError);
    const both = await Promise.allSettled([vm.snapshot(place()), vm.snapshot(place())]);
    expect(both.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(both).toContainEqual({ status: "rejected", reason: expect.any(UsageError) });
  });

  test("is not swept away while it is made", async () => {
    const vm = await start();
    during = () => sweepPartials(join(folder.path, "snapshots"));
    await vm.snapshot(place());
    expect(existsSync(join(place(), "metadata.json"))).toBe(true);
  });

  test("that fails leaves nothing behind", async () => {
    const vm = await start();
    during = () => Promise.reject(new Error("no space"));
    await expect(vm.snapshot(place())).rejects.toThrow("no space");
    expect(readdirSync(join(folder.path, "snapshots"))).toEqual([]);
  });
});
