import { fork } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { type LayerDescription, LayerStore } from "../../src/rootfs/index.js";
import { readErofs } from "../support/erofs-reader.js";
import { inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";

const archive = new TarBuilder().file("hello", "world").finish();
const packed = gzipSync(archive);
const layer: LayerDescription = {
  diffId: sha256(archive),
  blobDigest: sha256(packed),
  mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  size: packed.length,
};
const fetchLayer = async () => inPieces(packed);
const mustNotFetch = () => Promise.reject(new Error("fetched although it is there"));

describe("a layer store", () => {
  it("converts a layer once, and finds it from then on", async () => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    const first = await store.ensure(layer, fetchLayer);
    expect(first).toMatchObject({ diffId: layer.diffId, empty: false, converted: true });
    expect(readErofs(first.path).hello?.size).toBe(5);
    expect(statSync(first.path).size).toBe(first.size);
    expect(await store.ensure(layer, mustNotFetch)).toEqual({ ...first, converted: false });
    expect(await new LayerStore(folder.path).ensure(layer, mustNotFetch)).toEqual({ ...first, converted: false });
  });

  it("makes its folder", async () => {
    using folder = temporaryFolder();
    const { path } = await new LayerStore(join(folder.path, "a/b")).ensure(layer, fetchLayer);
    expect(existsSync(path)).toBe(true);
  });

  it("converts a layer once for many callers", async () => {
    using folder = temporaryFolder();
    let fetched = 0;
    const countingFetch = () => {
      fetched++;
      return fetchLayer();
    };
    const stores = [new LayerStore(folder.path), new LayerStore(folder.path)];
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => stores[i % 2]?.ensure(layer, countingFetch)));
    expect(fetched).toBe(1);
    expect(all.filter((each) => each?.converted)).toHaveLength(1);
  });

  it("has one file for blobs that are packed differently and have the same content", async () => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    await store.ensure(layer, fetchLayer);
    const plain = { ...layer, blobDigest: layer.diffId, size: archive.length };
    expect((await store.ensure(plain, mustNotFetch)).converted).toBe(false);
  });

  it("leaves nothing behind when the content is wrong, and works afterwards", async () => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    await expect(store.ensure(layer, async () => inPieces(packed.subarray(0, 50)))).rejects.toThrow(ImageError);
    expect(readdirSync(folder.path)).toEqual([]);
    expect((await store.ensure(layer, fetchLayer)).converted).toBe(true);
  });

  it("passes on why a layer could not be fetched", async () => {
    using folder = temporaryFolder();
    const gone = new Error("gone");
    await expect(new LayerStore(folder.path).ensure(layer, () => Promise.reject(gone))).rejects.toBe(gone);
  });

  it("reports an empty layer, also when it is found", async () => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    const bytes = Buffer.alloc(1024);
    const empty = {
      diffId: sha256(bytes),
      blobDigest: sha256(bytes),
      mediaType: "application/vnd.oci.image.layer.v1.tar",
    };
    expect(await store.ensure(empty, async () => inPieces(bytes))).toMatchObject({ empty: true, converted: true });
    expect(await store.ensure(empty, mustNotFetch)).toMatchObject({ empty: true, converted: false });
  });

  it("reports progress, and stops when told to", async () => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    const controller = new AbortController();
    const stalled = async () => new Readable({ read: () => undefined });
    const waiting = store.ensure(layer, stalled, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await expect(waiting).rejects.toThrow("enough");
    expect(readdirSync(folder.path)).toEqual([]);
    const seen: number[] = [];
    await store.ensure(layer, fetchLayer, { onProgress: (bytes) => seen.push(bytes) });
    expect(seen.at(-1)).toBe(packed.length);
  });

  it.each(["../../etc/passwd", "sha256:../../x", "", "sha256:short"])("refuses %j as a diff id", async (diffId) => {
    using folder = temporaryFolder();
    await expect(new LayerStore(folder.path).ensure({ ...layer, diffId }, fetchLayer)).rejects.toThrow(ImageError);
    await expect(new LayerStore(folder.path).remove(diffId)).rejects.toThrow(ImageError);
  });
});

describe("a stored file that is damaged", () => {
  const damages: [string, (path: string) => void | Promise<void>][] = [
    ["is cut by a block", (path) => truncateSync(path, statSync(path).size - 4096)],
    ["is cut to nothing", (path) => truncateSync(path, 0)],
    ["is longer", (path) => truncateSync(path, statSync(path).size + 4096)],
    ["has a changed first block", (path) => changeByte(path, 1024 + 36)],
    ["has a changed root", (path) => changeByte(path, 1300)],
    ["is something else", (path) => writeFileSync(path, Buffer.alloc(8192, "x"))],
  ];

  it.each(damages)("because it %s is converted anew", async (_, damage) => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    const { path } = await store.ensure(layer, fetchLayer);
    const before = readFileSync(path);
    await damage(path);
    expect(await store.list()).toEqual([]);
    expect((await store.ensure(layer, fetchLayer)).converted).toBe(true);
    expect(readFileSync(path).equals(before)).toBe(true);
  });
});

describe("what is in a layer store", () => {
  it("is listed, without what is half-made or of another kind", async () => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    expect(await store.list()).toEqual([]);
    const { converted: _, ...stored } = await store.ensure(layer, fetchLayer);
    writeFileSync(join(folder.path, "notes.txt"), "x");
    writeFileSync(`${stored.path}.partial`, "x");
    expect(await store.list()).toEqual([stored]);
    expect(await new LayerStore(join(folder.path, "missing")).list()).toEqual([]);
  });

  it("can be removed, also as an older converter made it", async () => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    const { path } = await store.ensure(layer, fetchLayer);
    renameSync(path, path.replace(/\.v\d+\./, ".v0."));
    expect((await store.ensure(layer, fetchLayer)).converted).toBe(true);
    expect(readdirSync(folder.path)).toHaveLength(2);
    expect(await store.remove(layer.diffId)).toBe(true);
    expect(readdirSync(folder.path)).toEqual([]);
    expect(await store.remove(layer.diffId)).toBe(false);
  });

  it("stays readable for who has it open when it is removed", async () => {
    using folder = temporaryFolder();
    const store = new LayerStore(folder.path);
    const { path, size } = await store.ensure(layer, fetchLayer);
    const file = await open(path);
    await store.remove(layer.diffId);
    expect((await file.readFile()).length).toBe(size);
    await file.close();
  });

  it("is cleared of what a killed process left", async () => {
    using folder = temporaryFolder();
    const left = join(folder.path, `sha256-${"0".repeat(64)}.v2.erofs.partial`);
    writeFileSync(left, "half");
    await new LayerStore(folder.path).ensure(layer, fetchLayer);
    expect(existsSync(left)).toBe(false);
  });

  it("survives a process that is killed in the middle of a conversion", async () => {
    using folder = temporaryFolder();
    const child = fork(join(import.meta.dirname, "../support/stalled-conversion.ts"), [folder.path, layer.diffId], {
      execArgv: ["--import", "tsx"],
      stdio: "inherit",
    });
    await new Promise((resolve) => child.once("message", resolve));
    expect(readdirSync(folder.path).length).toBeGreaterThan(0);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    expect((await new LayerStore(folder.path).ensure(layer, fetchLayer)).converted).toBe(true);
    expect(readdirSync(folder.path)).toHaveLength(1);
  });
});

async function changeByte(path: string, position: number): Promise<void> {
  const file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, position);
  await file.close();
}
