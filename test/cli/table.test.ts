import { afterEach, describe, expect, test, vi } from "vitest";
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
    ["NAME         SIZE     REFERENCE", "a            1.5 MiB  x", "python-3.12  2 B", ""].join("\n"),
  );
});

test("a table without rows is its header", () => {
  const output = capture("stdout");
  printTable(["NAME", "SIZE"], []);
  expect(output.text()).toBe("NAME  SIZE\n");
});

test("numbers stand on the right", () => {
  const output = capture("stdout");
  printTable(
    ["NAME", "SIZE"],
    [
      ["a", "1 B"],
      ["b", "1.5 MiB"],
    ],
    { rightFrom: 1 },
  );
  expect(output.text()).toBe("NAME     SIZE\na         1 B\nb     1.5 MiB\n");
});

describe("a terminal that is too narrow", () => {
  const row = ["python-0123456789ab", "ghcr.io/owner/a-long-name:1.2.3", "1 B"];
  const lines = (columns: number, isTTY = true) => {
    const output = capture("stdout");
    const { isTTY: before, columns: width } = process.stdout;
    Object.assign(process.stdout, { isTTY, columns });
    try {
      printTable(["NAME", "REFERENCE", "SIZE"], [row], { flexible: 1 });
    } finally {
      Object.assign(process.stdout, { isTTY: before, columns: width });
      vi.restoreAllMocks();
    }
    return output.text().trimEnd().split("\n");
  };

  test("cuts one column short, down to a point", () => {
    expect(lines(58)[1]).toBe(row.join("  "));
    expect(lines(50)[1]).toBe("python-0123456789ab  ghcr.io/owner/a-long-n…  1 B");
    expect(lines(20)[1]).toBe("python-0123456789ab  ghcr.io/o…  1 B");
  });

  test("does not matter to who reads from a pipe", () => {
    expect(lines(20, false)[1]).toBe(row.join("  "));
  });
});

test("data for programs is JSON with an end of line", () => {
  const output = capture("stdout");
  printJson([{ name: "a\u001b[31m" }]);
  expect(JSON.parse(output.text())).toEqual([{ name: "a\u001b[31m" }]);
  expect(output.text()).not.toContain("\x1b");
  expect(output.text().endsWith("]\n")).toBe(true);
});
