import { constants } from "node:buffer";
import { expect, test } from "vitest";
import { VmError } from "../../src/errors.js";
import { pageBuffer, RunCollector } from "../../src/memory/page-runs.js";

test.each([
  ["none", [], []],
  ["one", [7], [{ first: 7, count: 1 }]],
  ["neighbours", [0, 1, 2], [{ first: 0, count: 3 }]],
  [
    "gaps",
    [0, 2, 3, 9],
    [
      { first: 0, count: 1 },
      { first: 2, count: 2 },
      { first: 9, count: 1 },
    ],
  ],
])("pages become runs: %s", (_, pages, runs) => {
  const collector = new RunCollector();
  for (const page of pages) collector.add(page);
  expect(collector.runs).toEqual(runs);
  expect(collector.pages).toBe(pages.length);
});

test("more pages than a buffer can hold are an error that says so", () => {
  expect(pageBuffer(3)).toHaveLength(12_288);
  const tooMany = Math.floor(constants.MAX_LENGTH / 4096) + 1;
  expect(() => pageBuffer(tooMany)).toThrow(VmError);
  expect(() => pageBuffer(tooMany)).toThrow(/the guest has changed \d+\.\d GiB of its memory/);
});
