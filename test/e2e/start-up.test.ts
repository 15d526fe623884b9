import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
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

/** The files that are read to run a command. */
async function modulesOf(...args: string[]): Promise<string[]> {
  const coverage = join(folder, args.join("-"));
  await execa("node", ["dist/cli/main.js", ...args], { env: { NODE_V8_COVERAGE: coverage } });
  const reports = readdirSync(coverage).map((file) => JSON.parse(readFileSync(join(coverage, file), "utf8")));
  const urls = reports.flatMap(({ result }) => result.map(({ url }: { url: string }) => url)) as string[];
  return urls.filter((url) => url.startsWith("file:"));
}

test("a command that needs no library loads none: a dozen modules, of 350", async () => {
  for (const args of [["version"], ["--version"], ["--help"]]) {
    const modules = await modulesOf(...args);
    expect(modules.length).toBeGreaterThan(1);
    expect(modules.length).toBeLessThan(13);
  }
});

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
