import { afterEach, expect, test, vi } from "vitest";
import { printJson, printTable } from "../../src/cli/table.js";
import { capture } from "./streams.js";

afterEach(() => vi.restoreAllMocks());

test("columns are as wide as they need, the last one as wide as each of its cells", () => {
  const output = capture("stdout");
  printTable(
    ["NAME", "SIZE", "REFERENCE"],
    [
      ["a", "1.5 MiB", "x"],
      ["python-3.12", "2 B", ""],
    ],
  );
  expect(output.text()).toBe(
    ["NAME          SIZE      REFERENCE", "a             1.5 MiB   x", "python-3.12   2 B       ", ""].join("\n"),
  );
});

test("a table without rows is its header", () => {
  const output = capture("stdout");
  printTable(["NAME", "SIZE"], []);
  expect(output.text()).toBe("NAME   SIZE\n");
});

test("data for programs is JSON with an end of line", () => {
  const output = capture("stdout");
  printJson([{ name: "a\u001b[31m" }]);
  expect(JSON.parse(output.text())).toEqual([{ name: "a\u001b[31m" }]);
  expect(output.text()).not.toContain("\x1b");
  expect(output.text().endsWith("]\n")).toBe(true);
});
