import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { home, sweepHalfMade, trackHalfMade } from "../../src/store/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { kill, nextWord, startChild } from "./child.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", join(folder.path, "home"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});
const at = (name: string) => join(folder.path, name);

test("what a killed process has left half-made is removed, nothing else, and not while it lives", async () => {
  for (const name of ["half-that was here before", "kept"]) mkdirSync(at(name));
  const child = startChild("half-made", at("half"));
  expect(await nextWord(child)).toBe("half-made");
  await sweepHalfMade();
  expect(existsSync(at("half/half"))).toBe(true);
  await kill(child);
  await sweepHalfMade();
  expect(readdirSync(folder.path).sort()).toEqual(["half-that was here before", "home", "kept"]);
  expect(readdirSync(home().run)).toEqual([]);
});

test("what is out of reach, or was never there, is passed over", async () => {
  mkdirSync(home().run, { recursive: true });
  const records = [`${at("missing")}/half\0`, "\0", "", `${at("cut off")}`, `${at("x").repeat(1000)}\0`];
  for (const [i, content] of records.entries()) writeFileSync(join(home().run, `1-${i}.half`), content);
  mkdirSync(at("cut off"));
  await sweepHalfMade();
  {
    await using halfMade = await trackHalfMade();
    halfMade.at(at("kept"));
    mkdirSync(at("kept"));
  }
  await sweepHalfMade();
  expect(readdirSync(folder.path).sort()).toEqual(["cut off", "home", "kept"]);
  expect(readdirSync(home().run)).toEqual([]);
});
