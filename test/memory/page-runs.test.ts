import { expect, test } from "vitest";
import { RunCollector } from "../../src/memory/page-runs.js";

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
