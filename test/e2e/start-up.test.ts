import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as library from "../../src/index.js";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-start-up-"));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const CLI = "dist/cli/main.js";

/** The modules that are run for a command: each is a function in the bundle, named after its file. */
async function modulesOf(...args: string[]): Promise<string[]> {
  const coverage = mkdtempSync(join(folder, "coverage-"));
  await execa("node", [CLI, ...args], { env: { NODE_V8_COVERAGE: coverage } });
  const reports = readdirSync(coverage).map((file) => JSON.parse(readFileSync(join(coverage, file), "utf8")));
  const scripts = reports.flatMap(({ result }) => result) as ScriptCoverage[];
  const called = scripts
    .flatMap(({ functions }) => functions)
    .filter(({ ranges }) => ranges.some(({ count }) => count));
  return called.map(({ functionName }) => functionName).filter((name) => /^(src|node_modules)\//.test(name));
}

/** What V8 tells of one file. */
interface ScriptCoverage {
  functions: { functionName: string; ranges: { count: number }[] }[];
}

test("a command that needs no library runs none: a dozen modules of ours, of 350", async () => {
  for (const args of [["version"], ["--version"], ["--help"]]) {
    const modules = await modulesOf(...args);
    expect(modules).toContain("src/cli/completion/scripts.ts");
    expect(modules).not.toContain("src/index.ts");
    expect(modules.filter((name) => name.startsWith("src/")).length).toBeLessThan(13);
  }
});

test("what V8 compiled is kept for each command, and taken by the next start", async () => {
  const { start, kept } = newHome();
  await start("version");
  await start("--help");
  const [other, version] = kept();
  expect([other?.name, version?.name]).toEqual([
    expect.stringMatching(/^cli-other-/),
    expect.stringMatching(/^cli-version-/),
  ]);
  expect(await start("version")).toContain("supermachine");
  expect(kept()).toEqual([other, version]);
});

test("kept code that is damaged, cut off, empty or open to others is made anew", async () => {
  const { start, kept } = newHome();
  await start("version");
  const [{ path = "", inode = 0 } = {}] = kept();
  const code = readFileSync(path);
  const middle = Math.floor(code.length / 2);
  const damaged = Buffer.from(code).fill(0xff, middle, middle + 64);
  const harm = [
    () => writeFileSync(path, damaged),
    () => writeFileSync(path, code.subarray(0, middle)),
    () => writeFileSync(path, ""),
    () => chmodSync(path, 0o666),
  ];
  let before = inode;
  for (const doIt of harm) {
    doIt();
    expect(await start("version")).toContain("supermachine");
    const [now] = kept();
    expect(now?.inode).not.toBe(before);
    expect(readFileSync(path).length).toBeGreaterThan(middle);
    before = now?.inode ?? 0;
  }
});

test("a wrong command keeps no code, old code goes, and no home is made for it", async () => {
  const { home, start, kept } = newHome();
  await expect(start("verison")).rejects.toMatchObject({ exitCode: 2 });
  expect(kept()).toEqual([]);
  await start("version");
  const [{ path = "" } = {}] = kept();
  const old = new Date(Date.now() - 31 * 24 * 3_600_000);
  utimesSync(path, old, old);
  await start("--help");
  expect(kept().map(({ name }) => name)).toEqual([expect.stringMatching(/^cli-other-/)]);
  for (const nowhere of [join(home, "not/there"), "/dev/null/home"]) {
    const { stdout, stderr } = await execa("node", [CLI, "version"], { env: { SUPERMACHINE_HOME: nowhere } });
    expect(stdout).toContain("supermachine");
    expect(stderr).toBe("");
    expect(existsSync(nowhere)).toBe(false);
  }
});

test("source maps work", async () => {
  const env = { NODE_OPTIONS: "--enable-source-maps", SUPERMACHINE_HOME: folder };
  expect((await execa("node", [CLI, "version"], { env })).stdout).toContain("supermachine");
});

/** An empty home, what starts the command line in it, and what is kept there of code. */
function newHome() {
  const home = mkdtempSync(join(folder, "home-"));
  const code = join(home, "code");
  return {
    home,
    start: async (...args: string[]) =>
      (await execa("node", [CLI, ...args], { env: { SUPERMACHINE_HOME: home } })).stdout,
    kept: () =>
      (existsSync(code) ? readdirSync(code).sort() : []).map((name) => {
        const path = join(code, name);
        return { name, path, inode: statSync(path).ino };
      }),
  };
}

test("the bundle exports what the source does, and its classes have their names", async () => {
  const script = `const all = Object.entries(await import(process.cwd() + "/dist/index.js"));
    console.log(JSON.stringify(all.map(([name, value]) => [name, typeof value === "function" ? value.name : typeof value])));`;
  const { stdout } = await execa("node", ["--input-type=module", "--eval", script]);
  const expected = Object.entries(library).map(([name, value]) => [
    name,
    typeof value === "function" ? value.name : typeof value,
  ]);
  expect(JSON.parse(stdout).sort()).toEqual(expected.sort());
});
