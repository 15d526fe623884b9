import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type PruneOptions, prune } from "../../src/maintenance/index.js";
import { acquireLock, lease, rememberRoot } from "../../src/store/index.js";
import { kill, nextWord, startChild } from "../store/child.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { StoreFixture } from "./store-fixture.js";

let store: StoreFixture;
beforeEach(() => {
  store = new StoreFixture();
});
afterEach(() => store[Symbol.dispose]());

/** What is removed, as `KIND ITEM`. */
async function pruned(options: PruneOptions = {}): Promise<string[]> {
  const { removed } = await prune(options);
  return removed.map(({ kind, path }) => `${kind} ${basename(path)}`).sort();
}
const DAY_MS = 86_400_000;

describe("layers", () => {
  test("go when no snapshot has them", async () => {
    const [used, unused] = [await store.layer("used"), await store.layer("unused")];
    await store.snapshot("python", [used]);
    const { removed, freedBytes } = await prune();
    expect(removed).toMatchObject([{ kind: "layer", path: unused.path, item: unused.diffId }]);
    expect(freedBytes).toBeGreaterThanOrEqual(4096);
    expect(readdirSync(join(store.path, "layers"))).toEqual([basename(used.path)]);
    expect(await pruned()).toEqual([]);
  });

  test("stay for a snapshot elsewhere, until that is gone", async () => {
    using elsewhere = temporaryFolder();
    const layer = await store.layer("used");
    const snapshot = await store.snapshot("python", [layer], {}, "moved");
    const moved = join(elsewhere.path, "python");
    mkdirSync(moved);
    writeFileSync(join(moved, "metadata.json"), JSON.stringify({ layers: [{ path: layer.path }] }));
    rmSync(snapshot, { recursive: true });
    await rememberRoot(moved);
    expect(await pruned()).toEqual([]);
    rmSync(moved, { recursive: true });
    expect(await pruned()).toEqual([`layer ${basename(layer.path)}`]);
    expect(readdirSync(join(store.path, "roots"))).toEqual([]);
  });

  test("stay for a snapshot that another version of this program wrote", async () => {
    const layer = await store.layer("used");
    store.put("snapshots/newer/metadata.json", JSON.stringify({ schema: 99, layers: [{ path: layer.path, x: 1 }] }));
    expect(await pruned()).toEqual([]);
  });

  test("of older converters, and what is damaged, go too", async () => {
    store.put("layers/sha256-0123.v0.erofs");
    store.put("layers/sha256-4567.v1.erofs", "damaged");
    expect(await pruned()).toEqual(["layer sha256-0123.v0.erofs", "layer sha256-4567.v1.erofs"]);
  });

  test("that a bake is about to use stay, in another process too", async () => {
    const [ours, theirs, nobodys] = [await store.layer("ours"), await store.layer("theirs"), await store.layer("no")];
    const child = startChild("lease", theirs.path);
    try {
      expect(await nextWord(child)).toBe("leased");
      await using _lease = await lease([ours.path]);
      expect(await pruned()).toEqual([`layer ${basename(nobodys.path)}`]);
    } finally {
      await kill(child);
    }
    expect(await pruned()).toHaveLength(2);
    expect(readdirSync(join(store.path, "run"))).toEqual([]);
  });

  test("that somebody makes anew just now stay", async () => {
    const layer = await store.layer("unused");
    await using _lock = await acquireLock(`${layer.path}.lock`);
    expect(await pruned()).toEqual([]);
    expect(existsSync(layer.path)).toBe(true);
  });
});

describe("templates", () => {
  const madeWith = { kernel: "k", initramfs: "initramfs-1.cpio", hypervisor: "" };
  const setUp = () => {
    const vmlinuz = store.put("assets/linux-image-2/vmlinuz");
    const initramfs = store.put("assets/initramfs-1.cpio");
    const kernel = { name: "linux-image-2", vmlinuz, digest: "k" };
    const manifest = {
      stamps: ["1"],
      agent: "/x/agent-x64-1",
      qemu: { path: "qemu", version: "7.2" },
      kernel,
      initramfs,
    };
    store.put(`assets/assets-${process.arch}.json`, JSON.stringify(manifest));
  };
  const identity = async () => {
    const { Qemu } = await import("../../src/engine/index.js");
    return new Qemu("qemu", "7.2").identity;
  };

  test("stay when a snapshot is based on them, and on this very boot", async () => {
    await store.snapshot("python", []);
    store.template("key");
    store.template("other", "id");
    expect(await pruned()).toEqual(["template other"]);
    store.template("key", "another boot");
    expect(await pruned()).toEqual(["template key"]);
  });

  test("stay when the next bake would use them, unless all shall go", async () => {
    setUp();
    const hypervisor = await identity();
    store.template("current", "id", { madeWith: { ...madeWith, hypervisor } });
    store.template("old-kernel", "id", { madeWith: { ...madeWith, hypervisor, kernel: "older" } });
    store.template("old-agent", "id", { madeWith: { ...madeWith, hypervisor, initramfs: "initramfs-0.cpio" } });
    store.template("old-qemu", "id", { madeWith: { ...madeWith, hypervisor: "qemu 5" } });
    store.template("older-still");
    expect(await pruned()).toEqual([
      "template old-agent",
      "template old-kernel",
      "template old-qemu",
      "template older-still",
    ]);
    expect(await pruned({ all: true })).toEqual(["template current"]);
  });

  test("that are damaged go", async () => {
    setUp();
    const path = store.template("current", "id", { madeWith: { ...madeWith, hypervisor: await identity() } });
    writeFileSync(join(path, "ram.img"), "changed");
    mkdirSync(join(store.path, "templates/empty"));
    expect(await pruned()).toEqual(["template current", "template empty"]);
  });

  test("come with assets: what was replaced goes, what is in use stays", async () => {
    store.put("assets/agent-x64-0");
    expect(await pruned()).toEqual([]);
    setUp();
    for (const name of ["agent-x64-1", "initramfs-0.cpio", "linux-image-1/vmlinuz"]) store.put(`assets/${name}`);
    store.put("assets/accelerators.json");
    expect(await pruned()).toEqual(["asset agent-x64-0", "asset initramfs-0.cpio", "asset linux-image-1"]);
  });
});

describe("documents and tags", () => {
  test("stay as long as a snapshot was baked from what they lead to", async () => {
    const config = store.document({ architecture: "amd64" });
    const manifest = store.document({ config: { digest: config }, layers: [] });
    const foreign = store.document({ config: { digest: "sha256:0" }, layers: [], annotations: { a: "foreign" } });
    const index = store.document({ manifests: [{ digest: manifest }, { digest: foreign }] });
    const outer = store.document({ manifests: [{ digest: index }] });
    const gone = store.document({ config: { digest: config }, annotations: { a: "moved on" } });
    const [kept, moved] = [store.tag("docker.io/library/a:1", outer), store.tag("docker.io/library/b:1", gone)];
    const damaged = store.put("blobs/refs/damaged.json", "{");
    const snapshot = await store.snapshot("a", [], { manifestDigest: manifest });
    const name = (digest: string) => `document ${digest.slice("sha256:".length)}`;
    expect(await pruned()).toEqual(
      [name(foreign), name(gone), `tag ${basename(moved)}`, `tag ${basename(damaged)}`].sort(),
    );
    expect(existsSync(kept)).toBe(true);
    rmSync(snapshot, { recursive: true });
    expect(await pruned()).toEqual([...[config, manifest, index, outer].map(name), `tag ${basename(kept)}`].sort());
  });

  test("stay when a user named the index itself", async () => {
    const index = store.document({ manifests: [] });
    await store.snapshot("a", [], { reference: `example.org/a@${index}` });
    expect(await pruned()).toEqual([]);
  });

  test("stay while a pull is under way", async () => {
    store.document({ config: {} });
    await using _lease = await lease([join(store.path, "blobs")]);
    expect(await pruned()).toEqual([]);
  });
});

describe("what killed processes left", () => {
  test("goes, and what living ones are at stays", async () => {
    for (const path of ["layers/a.partial", "snapshots/b.old.partial/x", "blobs/engine/c.tar.partial"]) store.put(path);
    for (const path of ["layers/d.lock", "run/1-0.ram", "templates/busy.partial/x", "run/2-0.ram"]) store.put(path);
    store.put("blobs/packed/3-0.gz");
    store.put(`run/probe-${process.pid}/ram.img`);
    store.put("run/probe-999999999/ram.img");
    await using _one = await acquireLock(join(store.path, "templates/busy.lock"));
    await using _two = await acquireLock(join(store.path, "run/2-0.ram.lock"));
    expect(await pruned()).toEqual([
      "leftover 1-0.ram",
      "leftover 3-0.gz",
      "leftover a.partial",
      "leftover b.old.partial",
      "leftover c.tar.partial",
      "leftover d.lock",
      "leftover probe-999999999",
    ]);
    expect(existsSync(join(store.path, "templates/busy.partial/x"))).toBe(true);
    expect(readdirSync(join(store.path, "run")).sort()).toEqual(["2-0.ram", "2-0.ram.lock", `probe-${process.pid}`]);
  });
});

describe("how much", () => {
  test("nothing with a dry run, which says what it would be", async () => {
    const layer = await store.layer("unused");
    store.put("layers/a.partial");
    const dry = await prune({ dryRun: true });
    expect(dry).toMatchObject({ dryRun: true, removed: [{ kind: "layer" }, { kind: "leftover" }] });
    expect(existsSync(layer.path)).toBe(true);
    const real = await prune();
    expect(real).toEqual({ ...dry, dryRun: false });
  });

  test("only what is old enough", async () => {
    const old = store.put("layers/sha256-0.v1.erofs", "x", 2 * DAY_MS);
    store.put("layers/sha256-1.v1.erofs");
    expect(await pruned({ olderThanMs: 3 * DAY_MS })).toEqual([]);
    expect(await pruned({ olderThanMs: DAY_MS })).toEqual([`layer ${basename(old)}`]);
  });

  test("nothing where there is nothing", async () => {
    expect(await prune()).toEqual({ removed: [], freedBytes: 0, dryRun: false });
  });
});
