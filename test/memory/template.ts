import { closeSync, openSync, truncateSync, writeSync } from "node:fs";
import { PAGE_SIZE } from "../../src/memory/page-runs.js";

/** Makes a sparse `ram.img` in which page N, of those given, is filled with the byte N % 256. */
export function makeTemplate(path: string, totalPages: number, filled: readonly number[]): string {
  const file = openSync(path, "wx");
  truncateSync(path, totalPages * PAGE_SIZE);
  for (const page of filled) writeSync(file, Buffer.alloc(PAGE_SIZE, page % 256), 0, PAGE_SIZE, page * PAGE_SIZE);
  closeSync(file);
  return path;
}

/** The content of a delta as the byte with which each of its pages is filled; fails when one is not uniform. */
export function contentOf(delta: { runs: readonly { first: number; count: number }[]; pages: Buffer }) {
  const content: Record<number, number> = {};
  let at = 0;
  for (const { first, count } of delta.runs) {
    for (let page = first; page < first + count; page++, at += PAGE_SIZE) {
      const bytes = delta.pages.subarray(at, at + PAGE_SIZE);
      const value = bytes[0] ?? -1;
      if (!bytes.equals(Buffer.alloc(PAGE_SIZE, value))) throw new Error(`page ${page} is not uniform`);
      content[page] = value;
    }
  }
  if (at !== delta.pages.length) throw new Error("the runs and the pages do not agree");
  return content;
}
