import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TarReader } from "../../../src/rootfs/index.js";
import { type ExtractOptions, Extractor } from "../../../src/vm/copy/extractor.js";
import { temporaryFolder } from "../../support/layer-fixture.js";
import { TarBuilder } from "../../support/tar-builder.js";

let folder: ReturnType<typeof temporaryFolder>;
const at = (...names: string[]) => join(folder.path, ...names);

beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(at("tärget"));
  mkdirSync(at("outside"));
  writeFileSync(at("outside", "secret"), "secret");
});
afterEach(() => {
  expect(readdirSync(at("outside"))).toEqual(["secret"]);
  expect(readFileSync(at("outside", "secret"), "utf8")).toBe("secret");
  expect(readdirSync(folder.path).sort()).toEqual(["outside", "tärget"]);
  folder[Symbol.dispose]();
});

function extract(archive: TarBuilder, options: ExtractOptions = {}) {
  using extractor = new Extractor(at("tärget"), true, options);
  const reader = new TarReader(extractor);
  reader.write(archive.finish());
  reader.end();
  extractor.finish();
  return extractor.result;
}

const tar = () => new TarBuilder().directory("./", { mode: 0o750 });

test("what replaces something is told of before it is made beside it", () => {
  extract(tar().file("./file", "old").symlink("./link", "file"));
  const told: string[] = [];
  const halfMade = {
    at: (path: Buffer | string) => {
      expect(existsSync(path)).toBe(false);
      told.push(String(path));
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  using extractor = new Extractor(at("tärget"), true, {}, halfMade);
  const reader = new TarReader(extractor);
  reader.write(tar().file("./file", "new").symlink("./link", "other").file("./third", "").finish());
  const beside = expect.stringMatching(/^\/.*\/tärget\/\.supermachine-[-0-9a-f]{36}$/);
  expect(told).toEqual([beside, beside]);
  expect(readFileSync(at("tärget", "file"), "utf8")).toBe("new");
});

test("files, folders and links come with modes and times, closed folders too", () => {
  const archive = tar()
    .directory("./closed/", { mode: 0o500, mtime: 1e9 })
    .file("./closed/file", "text", { mode: 0o640, mtime: 1_000_000_001 })
    .symlink("./closed/link", "../file", { mtime: 1_000_000_002 })
    .file("./file", "more")
    .hardLink("./same", "./file");
  expect(extract(archive)).toEqual({ files: 5, bytes: 8, skipped: [], setuid: [] });
  expect(statSync(at("tärget")).mode & 0o7777).toBe(0o750);
  const closed = statSync(at("tärget", "closed"));
  expect([closed.mode & 0o7777, Math.floor(closed.mtimeMs)]).toEqual([0o500, 1e12]);
  const file = statSync(at("tärget", "closed", "file"));
  expect([file.mode & 0o7777, file.mtimeMs, file.size]).toEqual([0o640, 1_000_000_001_000, 4]);
  expect(readlinkSync(at("tärget", "closed", "link"))).toBe("../file");
  expect(lstatSync(at("tärget", "closed", "link")).mtimeMs).toBe(1_000_000_002_000);
  expect(statSync(at("tärget", "same")).ino).toBe(statSync(at("tärget", "file")).ino);
});

describe("an archive that wants out", () => {
  test.each([
    ["a name that leads upwards", tar().file("./../outside/new", "x")],
    ["an absolute name", tar().file("/outside/new", "x")],
    [
      "a name through a link of its own",
      tar().symlink("./link", "inner").directory("./inner/").file("./link/new", "x"),
    ],
    [
      "a folder in place of a link",
      tar().symlink("./link", "inner").directory("./inner/").directory("./link/").file("./link/new", "x"),
    ],
    ["a hard link that leads upwards", tar().hardLink("./link", "../outside/secret")],
    ["a hard link that is absolute", tar().hardLink("./link", "/outside/secret")],
    ["a hard link through a link", tar().symlink("./s", ".").hardLink("./link", "s/../outside/secret")],
    ["no folder at its top", new TarBuilder().file(".", "x")],
    ["a folder that it never made", tar().file("./missing/file", "x")],
  ])("by %s is refused", (_what, archive) => {
    expect(() => extract(archive)).toThrow();
  });

  test("does not get through links that were there before", () => {
    symlinkSync("../outside", at("tärget", "folder"));
    expect(() => extract(tar().directory("./folder/").file("./folder/new", "x"))).toThrow();
    expect(() => extract(tar().file("./folder/new", "x"))).toThrow();
    symlinkSync("../outside/secret", at("tärget", "file"));
    extract(tar().file("./file", "replaced"));
    expect(lstatSync(at("tärget", "file")).isFile()).toBe(true);
  });
});

test("links that lead outside are left out and listed, unless they are asked for", () => {
  const archive = () =>
    tar()
      .directory("./a/")
      .symlink("./absolute", "/etc/passwd")
      .symlink("./a/up", "../../outside")
      .symlink("./a/inside", "../a/file")
      .symlink("./a/through", "x/../../y");
  expect(extract(archive()).skipped).toEqual(
    ["absolute", "a/up", "a/through"].map((path) => ({ path, reason: "outside link" })),
  );
  expect(readdirSync(at("tärget", "a"))).toEqual(["inside"]);
  expect(extract(archive(), { keepOutsideLinks: true }).skipped).toEqual([]);
  expect(readlinkSync(at("tärget", "absolute"))).toBe("/etc/passwd");
});

test("devices and pipes are left out and listed", () => {
  const archive = tar().add({ name: "./null", type: "3", major: 1, minor: 3 }).add({ name: "./pipe", type: "6" });
  expect(extract(archive)).toMatchObject({
    files: 0,
    skipped: [
      { path: "null", reason: "device" },
      { path: "pipe", reason: "pipe" },
    ],
  });
  expect(readdirSync(at("tärget"))).toEqual([]);
});

test("set-user-ID is taken away and listed, unless it is asked for", () => {
  const archive = () => tar().file("./program", "x", { mode: 0o6755 });
  expect(extract(archive()).setuid).toEqual(["program"]);
  expect(statSync(at("tärget", "program")).mode & 0o7777).toBe(0o755);
  expect(extract(archive(), { keepSetuid: true }).setuid).toEqual(["program"]);
  expect(statSync(at("tärget", "program")).mode & 0o7777).toBe(0o6755);
});

test("what is there is replaced as a whole, but a folder neither replaces nor is replaced", () => {
  writeFileSync(at("tärget", "file"), "old and longer");
  symlinkSync("nowhere", at("tärget", "link"));
  mkdirSync(at("tärget", "folder"));
  writeFileSync(at("tärget", "folder", "kept"), "kept");
  extract(tar().file("./file", "new").symlink("./link", "file").directory("./folder/"));
  expect(readFileSync(at("tärget", "file"), "utf8")).toBe("new");
  expect(readlinkSync(at("tärget", "link"))).toBe("file");
  expect(existsSync(at("tärget", "folder", "kept"))).toBe(true);
  expect(() => extract(tar().file("./folder", "x"))).toThrow(/would replace a folder/);
  expect(() => extract(tar().directory("./file/"))).toThrow(/is no folder/);
});

test("an archive that is cut off leaves no half of a file", () => {
  const extractor = new Extractor(at("tärget"), true, {});
  const reader = new TarReader(extractor);
  const bytes = tar().file("./whole", "x").file("./half", Buffer.alloc(5000, "x")).unfinished();
  reader.write(bytes.subarray(0, bytes.length - 2048));
  expect(() => reader.end()).toThrow(/truncated/);
  extractor[Symbol.dispose]();
  expect(readdirSync(at("tärget"))).toEqual(["whole"]);
});

test("holes stay holes", () => {
  const map = Buffer.alloc(512);
  map.write("2\n1048576\n4\n1073741824\n0\n");
  const archive = tar()
    .pax({
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": "./sparse",
      "GNU.sparse.realsize": String(2 ** 30),
    })
    .file("x", Buffer.concat([map, Buffer.from("data")]));
  extract(archive);
  const { size, blocks } = statSync(at("tärget", "sparse"));
  expect(size).toBe(2 ** 30);
  expect(blocks * 512).toBeLessThan(2 ** 20);
});
