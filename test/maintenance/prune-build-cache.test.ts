import { existsSync, readdirSync, utimesSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { StepCache, stepKey } from "../../src/build/cache.js";
import { diskUsage, type PruneBuildCacheOptions, prune, pruneBuildCache } from "../../src/maintenance/index.js";
import { LayerStore } from "../../src/rootfs/index.js";
import { acquireLock, lease } from "../../src/store/index.js";
import { sha256 } from "../support/layer-fixture.js";
import { StoreFixture } from "./store-fixture.js";

const HOUR_MS = 3_600_000;
let store: StoreFixture;
beforeEach(() => {
  store = new StoreFixture();
});
afterEach(() => store[Symbol.dispose]());

/** A step that was last used so many hours ago; gives its layer. */
async function step(name: string, hours: number, bytes = 40_000): Promise<{ diffId: string; path: string }> {
  const made = await store.layer(name, bytes);
  const layers = new LayerStore(join(store.path, "layers"));
  const layer = await layers.find(made.diffId);
  await new StepCache(layers).keep(stepKey(name), { layer, createdAt: "2026-01-02T03:04:05.000Z" });
  const time = new Date(Date.now() - hours * HOUR_MS);
  utimesSync(join(store.path, "builds/steps", `${stepKey(name)}.json`), time, time);
  return made;
}

/** What is removed, as its kind and the names that are given. */
async function pruned(options: PruneBuildCacheOptions = {}): Promise<string[]> {
  return (await pruneBuildCache(options)).removed.map(({ kind }) => kind).sort();
}

test("all goes but what a snapshot has, and nothing else is touched", async () => {
  const [used, unused, other] = [await step("used", 1), await step("unused", 2), await store.layer("other")];
  await store.snapshot("app", [used]);
  store.put("builds/caches/abc.img", Buffer.alloc(8192, 1));
  store.put("builds/caches/abc.img.used", "");
  store.put(`builds/steps/${"0".repeat(64)}.json`, "damaged");
  expect(await pruned({ dryRun: true })).toEqual(["cache mount", "layer", "step", "step", "step"]);
  expect(existsSync(unused.path)).toBe(true);
  const { freedBytes } = await pruneBuildCache();
  expect(freedBytes).toBeGreaterThan(48_000);
  expect([used, unused, other].map(({ path }) => existsSync(path))).toEqual([true, false, true]);
  for (const folder of ["steps", "caches"]) expect(readdirSync(join(store.path, "builds", folder))).toEqual([]);
  expect(await pruned()).toEqual([]);
});

test("what was used longest ago goes first, until the rest is small enough", async () => {
  const layers = [await step("old", 30), await step("older", 50), await step("new", 1)];
  const left = () => layers.map(({ path }) => existsSync(path));
  expect(await pruned({ keepStorageBytes: 1_000_000 })).toEqual([]);
  expect(await pruned({ keepStorageBytes: 100_000 })).toEqual(["layer", "step"]);
  expect(left()).toEqual([true, false, true]);
  expect(await pruned({ olderThanMs: 24 * HOUR_MS, keepStorageBytes: 0 })).toEqual(["layer", "step"]);
  expect(left()).toEqual([false, false, true]);
  expect(await pruned({ olderThanMs: 24 * HOUR_MS })).toEqual([]);
});

test("a step that is found counts as used", async () => {
  await step("found", 50);
  await new StepCache(new LayerStore(join(store.path, "layers"))).find(stepKey("found"));
  expect(await pruned({ olderThanMs: 24 * HOUR_MS })).toEqual([]);
});

/** A file that was fetched from so many URLs. */
function download(content: string, urls: readonly string[], hours = 1): string {
  const digest = sha256(Buffer.from(content)).slice("sha256:".length);
  for (const url of urls) {
    const record = JSON.stringify({ sha256: digest, size: content.length });
    store.put(`builds/remote/downloads/${stepKey(url)}.json`, record);
  }
  return store.put(`builds/remote/downloads/sha256-${digest}`, content, hours * HOUR_MS);
}

describe("what ADD has fetched", () => {
  const names = () => readdirSync(join(store.path, "builds/remote/downloads"));

  test("goes with what is known of its URLs, which is of no use alone", async () => {
    const path = download("x".repeat(40_000), ["http://a", "http://b"]);
    store.put(`builds/remote/downloads/${stepKey("gone")}.json`, '{"sha256":"0"}');
    const { removed, freedBytes } = await pruneBuildCache({ dryRun: true });
    expect(removed.map(({ kind }) => kind)).toEqual(["download", "download"]);
    expect(removed.map(({ item }) => item)).toContain(basename(path).replace("-", ":"));
    expect(freedBytes).toBeGreaterThan(40_000);
    expect(names()).toHaveLength(4);
    await pruneBuildCache();
    expect(names()).toEqual([]);
  });

  test("goes by age and size like the rest", async () => {
    const [old, fresh] = [download("old".repeat(10_000), ["http://old"], 50), download("new", ["http://new"])];
    expect(await pruned({ olderThanMs: 60 * HOUR_MS })).toEqual([]);
    expect(await pruned({ keepStorageBytes: 1_000_000 })).toEqual([]);
    expect(await pruned({ olderThanMs: 24 * HOUR_MS })).toEqual(["download"]);
    expect([old, fresh].map((path) => existsSync(path))).toEqual([false, true]);
    expect(names()).toHaveLength(2);
  });

  test("stays while a build runs", async () => {
    const path = download("content", ["http://a"]);
    await using _lease = await lease([join(store.path, "builds/remote")]);
    expect(await pruned()).toEqual([]);
    expect(existsSync(path)).toBe(true);
  });

  test("that killed builds left half-made is pruned", async () => {
    store.put("builds/remote/123-0.git-pack", "PACK");
    store.put("builds/remote/downloads/abc.partial");
    const held = store.put("builds/remote/456-0.git-pack", "PACK");
    await using _held = await acquireLock(`${held}.lock`);
    const { removed } = await prune();
    expect(removed.map(({ item }) => item).sort()).toEqual(["123-0.git-pack", "abc.partial"]);
    expect(existsSync(held)).toBe(true);
  });
});

test("what a build is using stays", async () => {
  const { path } = await step("leased", 1);
  const cache = store.put("builds/caches/abc.img", "x");
  await using _lease = await lease([join(store.path, "layers")]);
  await using _cache = await acquireLock(`${cache}.lock`);
  expect(await pruned()).toEqual([]);
  expect([path, cache].map((each) => existsSync(each))).toEqual([true, true]);
});

test("what builds keep is in the usage, and what killed ones left is pruned", async () => {
  await step("kept", 1);
  store.put("builds/steps/abc.json.partial");
  store.put("builds/steps/abc.lock", "");
  expect((await diskUsage()).store.builds).toBeGreaterThan(0);
  const { removed } = await prune();
  expect(removed.map(({ kind }) => kind)).toContain("leftover");
  expect(readdirSync(join(store.path, "builds/steps"))).toEqual([`${stepKey("kept")}.json`]);
});
