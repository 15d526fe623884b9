import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");

/** Tests that a page names: paths, and names of files in the folder that was named before. */
function testsIn(page: string): string[] {
  const found: string[] = [];
  let folder = "";
  for (const [, name = ""] of page.matchAll(/`([\w./-]+)`/g)) {
    const isPath = /^test\/[\w./-]+$/.test(name);
    if (!isPath && !/^[\w-]+\.(test|fuzz)\.ts$/.test(name)) continue;
    const path = isPath ? name : join(folder, name);
    folder = name.endsWith(".ts") ? dirname(path) : path;
    found.push(path);
  }
  return found;
}

test.each([
  ["security.md", 25],
  ["network.md", 4],
  ["storage.md", 2],
])("every test that docs/%s names is there", (page, least) => {
  const named = testsIn(readFileSync(join(root, "docs", page), "utf8"));
  expect(named.length).toBeGreaterThanOrEqual(least);
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test("every feature of docs/build.md names a test that is there", () => {
  const rows = rowsAfter("build.md", "| | supermachine | BuildKit");
  expect(rows.length).toBeGreaterThan(35);
  const all = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" });
  const missing = rows.filter((row) => {
    const named = row.split("|").at(-2)?.trim().split(", ") ?? [];
    return !named.every((name) => name.endsWith(".test.ts") && all.some((path) => `/${path}`.endsWith(`/${name}`)));
  });
  expect(missing).toEqual([]);
});

/** The rows of a table, without its head. */
function rowsAfter(name: string, head: string): string[] {
  const lines = readFileSync(join(root, "docs", name), "utf8").split("\n");
  const from = lines.findIndex((line) => line.startsWith(head)) + 2;
  const rows = lines.slice(from);
  return rows.slice(
    0,
    rows.findIndex((line) => !line.startsWith("|")),
  );
}

test("every barrier of docs/security.md names a test that shows it", () => {
  const page = readFileSync(join(root, "docs", "security.md"), "utf8");
  const rows = page.split("\n").filter((line) => /^\| .* \| .* \| .* \|$/.test(line) && line.includes("|"));
  const barriers = rows.slice(rows.findIndex((row) => row.startsWith("| enemy")) + 2);
  const table = barriers.slice(
    0,
    barriers.findIndex((row) => row.startsWith("| target")),
  );
  expect(table.length).toBeGreaterThan(12);
  expect(table.filter((row) => testsIn(row).length === 0)).toEqual([]);
});
