import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { acquireLock, tryAcquireLock } from "../../src/store/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { kill, nextWord, startChild } from "./child.js";

const release = (lock: AsyncDisposable | undefined) => lock?.[Symbol.asyncDispose]();

test("is held by one caller at a time, of the same process too", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "a.lock");
  const first = await acquireLock(path);
  expect(await tryAcquireLock(path)).toBeUndefined();
  let second: AsyncDisposable | undefined;
  const waiting = acquireLock(path).then((lock) => {
    second = lock;
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(second).toBeUndefined();
  await release(first);
  await waiting;
  expect(second).toBeDefined();
  expect(await tryAcquireLock(path)).toBeUndefined();
  await release(second);
});

test("makes the folder it is in, and leaves no file behind", async () => {
  using folder = temporaryFolder();
  const lock = await acquireLock(join(folder.path, "deep/er/a.lock"));
  expect(readdirSync(join(folder.path, "deep/er"))).toEqual(["a.lock"]);
  await release(lock);
  expect(readdirSync(join(folder.path, "deep/er"))).toEqual([]);
});

test("a file that somebody left is no obstacle", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "a.lock");
  writeFileSync(path, "left");
  const lock = await tryAcquireLock(path);
  expect(lock).toBeDefined();
  await release(lock);
  expect(existsSync(path)).toBe(false);
});

test("waiting for it ends with the reason of the signal", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "a.lock");
  const held = await acquireLock(path);
  const controller = new AbortController();
  const waiting = acquireLock(path, controller.signal);
  setTimeout(() => controller.abort(new Error("enough")), 30);
  await expect(waiting).rejects.toThrow("enough");
  await expect(acquireLock(path, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
  await release(held);
});

test("many that wait get it one after the other", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "a.lock");
  let [inside, most, turns] = [0, 0, 0];
  const turn = async () => {
    await using _lock = await acquireLock(path);
    most = Math.max(most, ++inside);
    await new Promise((resolve) => setTimeout(resolve, 2));
    inside--;
    turns++;
  };
  await Promise.all(Array.from({ length: 6 }, turn));
  expect({ most, turns }).toEqual({ most: 1, turns: 6 });
  expect(readdirSync(folder.path)).toEqual([]);
});

test("a place that cannot hold a lock is reported, and no descriptor stays open", async () => {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, "a.lock"));
  const before = readdirSync("/proc/self/fd").length;
  await expect(acquireLock(join(folder.path, "a.lock"))).rejects.toMatchObject({ code: "EISDIR" });
  await using held = await acquireLock(join(folder.path, "b.lock"));
  for (let i = 0; i < 5; i++) await tryAcquireLock(join(folder.path, "b.lock"));
  expect(held).toBeDefined();
  expect(readdirSync("/proc/self/fd").length).toBeLessThanOrEqual(before + 1);
});

test("ends with the process that holds it, however that ends", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "a.lock");
  const child = startChild("hold", path);
  try {
    expect(await nextWord(child)).toBe("held");
    expect(await tryAcquireLock(path)).toBeUndefined();
  } finally {
    await kill(child);
  }
  expect(existsSync(path)).toBe(true);
  const lock = await acquireLock(path);
  await release(lock);
  expect(existsSync(path)).toBe(false);
});
