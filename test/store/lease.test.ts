import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { home, lease, listRoots, lockStore, readLeases, rememberRoot, sweepLeases } from "../../src/store/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { kill, nextWord, startChild } from "./child.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", folder.path);
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

const leasedNow = async (...paths: string[]) => {
  await using _store = await lockStore();
  const isLeased = await readLeases();
  return paths.map((path) => isLeased(join(folder.path, path)));
};

describe("a lease", () => {
  test("covers what it names and what is below, and nothing else, until it is given back", async () => {
    const held = await lease([join(folder.path, "layers/a"), join(folder.path, "templates")]);
    const paths = ["layers/a", "layers/a/deep", "layers/ab", "layers", "templates", "templates/key", "template"];
    expect(await leasedNow(...paths)).toEqual([true, true, false, false, true, true, false]);
    await held[Symbol.asyncDispose]();
    expect(await leasedNow("layers/a", "templates")).toEqual([false, false]);
    expect(readdirSync(home().run)).toEqual([]);
  });

  test("may be one of several, of other processes too", async () => {
    const child = startChild("lease", join(folder.path, "layers/theirs"));
    try {
      expect(await nextWord(child)).toBe("leased");
      await using _ours = await lease([join(folder.path, "layers/ours")]);
      expect(await leasedNow("layers/ours", "layers/theirs", "layers/nobodys")).toEqual([true, true, false]);
    } finally {
      await kill(child);
    }
    expect(await leasedNow("layers/ours", "layers/theirs")).toEqual([false, false]);
  });

  test("of a process that was killed is swept, and one that is held is not", async () => {
    const child = startChild("lease", join(folder.path, "layers/theirs"));
    expect(await nextWord(child)).toBe("leased");
    await sweepLeases();
    expect(readdirSync(home().run)).toHaveLength(1);
    await kill(child);
    expect(readdirSync(home().run)).toHaveLength(1);
    await sweepLeases();
    expect(readdirSync(home().run)).toEqual([]);
  });

  test("waits for who is pruning", async () => {
    const pruning = await lockStore();
    let held: AsyncDisposable | undefined;
    const taking = lease([join(folder.path, "layers/a")]).then((taken) => {
      held = taken;
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(held).toBeUndefined();
    await pruning[Symbol.asyncDispose]();
    await taking;
    await held?.[Symbol.asyncDispose]();
  });

  test("means nothing for what is outside of the home", async () => {
    await using _held = await lease(["/elsewhere/layer"]);
    expect(await leasedNow("layers/a", "elsewhere/layer")).toEqual([false, false]);
  });
});

describe("a root", () => {
  const put = (path: string) => {
    mkdirSync(join(folder.path, path), { recursive: true });
    return join(folder.path, path);
  };

  test("is a snapshot's folder outside of the home, once", async () => {
    const [one, two] = [put("elsewhere/one"), put("elsewhere/two")];
    for (const path of [one, two, one]) await rememberRoot(path);
    expect((await listRoots()).sort()).toEqual([one, two]);
    expect(readdirSync(home().roots)).toHaveLength(2);
  });

  test("is not noted for what is in the home", async () => {
    await rememberRoot(put("snapshots/python"));
    expect(await listRoots()).toEqual([]);
  });

  test("is forgotten when its folder is gone, and only when that is asked for", async () => {
    await rememberRoot(join(folder.path, "gone"));
    writeFileSync(join(home().roots, "x.partial"), "half");
    expect(await listRoots()).toEqual([]);
    expect(readdirSync(home().roots)).toHaveLength(2);
    await listRoots(true);
    expect(readdirSync(home().roots)).toEqual(["x.partial"]);
  });
});
