import { statSync } from "node:fs";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cacheName, holdCache } from "../../../src/build/mounts/cache-volume.js";
import type { CacheMount } from "../../../src/dockerfile/index.js";
import { folderOfFile } from "../../support/folder-of-file.js";

const folder = folderOfFile();
const hold = (name: string, sharing: CacheMount["sharing"], signal?: AbortSignal) =>
  holdCache(name, sharing, { signal }, folder);

test("a cache is fresh until it was begun, and again when it is damaged", async () => {
  const states: boolean[] = [];
  for (const begins of [false, true, false]) {
    await using cache = await hold("a", "shared");
    states.push(cache.isFresh);
    if (begins) cache.begun();
    expect(statSync(cache.path).blocks * 512).toBeLessThan(64 * 2 ** 20);
  }
  expect(states).toEqual([true, true, false]);
  await truncate(join(folder, "a.img"), 1000);
  {
    await using damaged = await hold("a", "shared");
    expect(damaged.isFresh).toBe(true);
    damaged.begun();
    await truncate(damaged.path, 1000);
  }
  await using again = await hold("a", "shared");
  expect(again.isFresh).toBe(true);
});

test("a shared or locked cache is waited for, and of a private one there are several", async () => {
  for (const sharing of ["shared", "locked"] as const) {
    await using _first = await hold(sharing, sharing);
    await expect(hold(sharing, sharing, AbortSignal.timeout(50))).rejects.toThrow("timeout");
  }
  await using first = await hold("p", "private");
  await using second = await hold("p", "private");
  expect(first.path).not.toBe(second.path);
});

test("the name is of the id and of what the cache begins with, not of where it is mounted", () => {
  const mount: CacheMount = {
    type: "cache",
    id: "i",
    target: "/a",
    readOnly: false,
    sharing: "shared",
    from: undefined,
    source: "/",
    mode: undefined,
    uid: undefined,
    gid: undefined,
  };
  const name = cacheName(mount, undefined);
  expect(cacheName({ ...mount, target: "/b", sharing: "locked" }, undefined)).toBe(name);
  const others = [cacheName({ ...mount, id: "j" }, undefined), cacheName({ ...mount, uid: 1 }, undefined)];
  expect(new Set([name, ...others, cacheName(mount, "seed")]).size).toBe(4);
});
