import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type CpioEntry, cpio } from "../../src/assets/cpio.js";
import { findProgram } from "../../src/assets/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";

const ENTRIES: CpioEntry[] = [
  { path: "dev", mode: 0o040755 },
  { path: "init", mode: 0o100755, content: Buffer.from("#!/bin/true\n") },
  { path: "link", mode: 0o120777, content: Buffer.from("init") },
  { path: "dev/empty", mode: 0o100600 },
  ...[1, 2, 3, 4, 5].map((length) => ({
    path: `${"n".repeat(length)}`,
    mode: 0o100644,
    content: Buffer.alloc(length, "x"),
  })),
];

/** Reads an archive as the kernel's documentation describes it. */
function parse(archive: Buffer) {
  const found: { path: string; mode: number; inode: number; content: Buffer }[] = [];
  for (let at = 0; ; ) {
    expect(at % 4).toBe(0);
    expect(archive.toString("latin1", at, at + 6)).toBe("070701");
    const field = (index: number) =>
      Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const [inode, mode, size, nameBytes] = [field(0), field(1), field(6), field(11)];
    const path = archive.toString("utf8", at + 110, at + 110 + nameBytes - 1);
    expect(archive[at + 110 + nameBytes - 1]).toBe(0);
    at = Math.ceil((at + 110 + nameBytes) / 4) * 4;
    if (path === "TRAILER!!!") {
      expect(at).toBe(archive.length);
      return found;
    }
    found.push({ path, mode, inode, content: archive.subarray(at, at + size) });
    at = Math.ceil((at + size) / 4) * 4;
  }
}

describe("an archive", () => {
  test("has the entries in their order, each with its type, rights and content", () => {
    const expected = ENTRIES.map(({ path, mode, content }) => ({ path, mode, content: content ?? Buffer.alloc(0) }));
    expect(parse(cpio(ENTRIES))).toMatchObject(expected);
  });

  test("gives every entry an inode of its own, so that none is taken for a hard link", () => {
    const inodes = parse(cpio(ENTRIES)).map(({ inode }) => inode);
    expect(new Set(inodes).size).toBe(ENTRIES.length);
  });

  test("is the same for the same content", () => {
    expect(cpio(ENTRIES).equals(cpio(ENTRIES))).toBe(true);
  });

  test("can be empty", () => {
    expect(parse(cpio([]))).toEqual([]);
  });

  test("counts a name's bytes, not its letters", () => {
    expect(parse(cpio([{ path: "münze-€", mode: 0o100644, content: Buffer.from("1") }]))[0]).toMatchObject({
      path: "münze-€",
    });
  });
});

test.skipIf(!(await findProgram("cpio")))("GNU cpio unpacks it", () => {
  using folder = temporaryFolder();
  execFileSync("cpio", ["--extract", "--quiet"], { cwd: folder.path, input: cpio(ENTRIES) });
  const at = (path: string) => join(folder.path, path);
  expect(readFileSync(at("init"), "utf8")).toBe("#!/bin/true\n");
  expect(statSync(at("init")).mode).toBe(0o100755);
  expect(statSync(at("dev")).isDirectory()).toBe(true);
  expect(statSync(at("dev/empty"))).toMatchObject({ size: 0, mode: 0o100600 });
  expect(readlinkSync(at("link"))).toBe("init");
  expect(readFileSync(at("nnnnn"), "utf8")).toBe("xxxxx");
});
