import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { acquireLock, isEntry, produceOnce, replace, sweepPartials } from "../../src/store/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { kill, nextWord, startChild } from "./child.js";

const read = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : undefined);

describe("what is produced once", () => {
  test("is made when it is missing and found from then on", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "deep/thing");
    let made = 0;
    const produce = () =>
      produceOnce(path, {
        find: async () => read(path),
        make: async (partial) => {
          made++;
          expect(read(path)).toBeUndefined();
          expect(existsSync(partial)).toBe(false);
          writeFileSync(partial, "content");
        },
      });
    expect(await produce()).toBe("content");
    expect(await produce()).toBe("content");
    expect(made).toBe(1);
    expect(readdirSync(join(folder.path, "deep"))).toEqual(["thing"]);
  });

  test("is made anew when what is there is of no use", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    mkdirSync(path);
    writeFileSync(join(path, "bad"), "x");
    const find = async () => read(join(path, "good"));
    const make = async (partial: string) => {
      mkdirSync(partial);
      writeFileSync(join(partial, "good"), "new");
    };
    expect(await produceOnce(path, { find, make })).toBe("new");
    expect(readdirSync(path)).toEqual(["good"]);
    expect(readdirSync(folder.path)).toEqual(["thing"]);
  });

  test("leaves nothing behind when making it fails, and what was there before stays", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    writeFileSync(path, "old");
    const make = async (partial: string) => {
      writeFileSync(partial, "half");
      throw new Error("no space");
    };
    await expect(produceOnce(path, { find: async () => undefined, make })).rejects.toThrow("no space");
    expect(readdirSync(folder.path)).toEqual(["thing"]);
    expect(read(path)).toBe("old");
  });

  test("is reported when it cannot be read back", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    const make = async (partial: string) => writeFileSync(partial, "x");
    await expect(produceOnce(path, { find: async () => undefined, make })).rejects.toThrow(/cannot be read back/);
    expect(readdirSync(folder.path)).toEqual(["thing"]);
  });

  test("is waited for no longer than the signal allows", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    await using _held = await acquireLock(`${path}.lock`);
    const make = async (partial: string) => writeFileSync(partial, "x");
    const signal = AbortSignal.timeout(30);
    await expect(produceOnce(path, { find: async () => read(path), make, signal })).rejects.toThrow();
    expect(existsSync(path)).toBe(false);
  });

  test("is made by one of two processes that want it", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    const children = [startChild("race", path), startChild("race", path)];
    try {
      expect(await Promise.all(children.map(nextWord))).toEqual(["ready", "ready"]);
      const answers = Promise.all(children.map(nextWord));
      for (const child of children) child.send("go");
      const [one, two] = await answers;
      expect(one).toBe(two);
      expect(readFileSync(`${path}.made`, "utf8")).toBe(`${one}\n`);
    } finally {
      await Promise.all(children.map((child) => child.exitCode ?? kill(child)));
    }
    expect(readdirSync(folder.path).sort()).toEqual(["thing", "thing.made"]);
  });

  test("is not visible when its maker is killed, is swept, and can be made again", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    const child = startChild("stall", path);
    try {
      expect(await nextWord(child)).toBe("half-made");
      // Somebody is at it: that is not ours to sweep.
      await sweepPartials(folder.path);
      expect(readdirSync(folder.path).sort()).toEqual(["thing.lock", "thing.partial"]);
      expect(readdirSync(folder.path).filter(isEntry)).toEqual([]);
    } finally {
      await kill(child);
    }
    expect(readdirSync(folder.path).filter(isEntry)).toEqual([]);
    await sweepPartials(folder.path);
    expect(readdirSync(folder.path)).toEqual([]);
    const make = async (partial: string) => writeFileSync(partial, "whole");
    expect(await produceOnce(path, { find: async () => read(path), make })).toBe("whole");
  });

  test("is made over what a killed maker left, without a sweep", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    mkdirSync(`${path}.partial`);
    writeFileSync(join(`${path}.partial`, "half"), "half");
    const make = async (partial: string) => writeFileSync(partial, "whole");
    expect(await produceOnce(path, { find: async () => read(path), make })).toBe("whole");
    expect(readdirSync(folder.path)).toEqual(["thing"]);
  });
});

describe("a replaced entry", () => {
  test("takes the place of a folder with content", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    mkdirSync(join(path, "deep"), { recursive: true });
    writeFileSync(join(path, "deep/old"), "old");
    await replace(path, async (partial) => {
      mkdirSync(join(partial, "deep"), { recursive: true });
      writeFileSync(join(partial, "deep/new"), "new");
      expect(read(join(path, "deep/old"))).toBe("old");
    });
    expect(readdirSync(join(path, "deep"))).toEqual(["new"]);
    expect(readdirSync(folder.path)).toEqual(["thing"]);
  });

  test("stays as it was when nothing is put in its place", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "thing");
    writeFileSync(path, "old");
    await expect(replace(path, async () => undefined)).rejects.toMatchObject({ code: "ENOENT" });
    expect(read(path)).toBe("old");
  });
});

describe("sweeping", () => {
  test("removes what is half-made, of the former content too, and keeps entries", async () => {
    using folder = temporaryFolder();
    for (const name of ["a.partial", "b.old.partial", "c"]) {
      mkdirSync(join(folder.path, name));
      writeFileSync(join(folder.path, name, "content"), "x");
    }
    await sweepPartials(folder.path);
    expect(readdirSync(folder.path)).toEqual(["c"]);
  });

  test("leaves alone what is being made, and what is being replaced", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "a");
    await using _lock = await acquireLock(`${path}.lock`);
    for (const name of ["a.partial", "a.old.partial"]) writeFileSync(join(folder.path, name), "x");
    await sweepPartials(folder.path);
    expect(readdirSync(folder.path).sort()).toEqual(["a.lock", "a.old.partial", "a.partial"]);
  });

  test("a folder that is not there has nothing to sweep", async () => {
    using folder = temporaryFolder();
    await expect(sweepPartials(join(folder.path, "missing"))).resolves.toBeUndefined();
    expect(readdirSync(folder.path)).toEqual([]);
  });
});

test.each([
  ["thing", true],
  ["thing.old", true],
  ["partial", true],
  ["thing.partial", false],
  ["thing.old.partial", false],
  ["thing.lock", false],
])("%s is an entry: %s", (name, expected) => {
  expect(isEntry(name)).toBe(expected);
});
