import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CopyError } from "../../src/errors.js";
import { type FolderFigures, type FolderImageOptions, writeFolderImage } from "../../src/rootfs/index.js";
import { readErofs } from "../support/erofs-reader.js";
import { everyKindTar } from "../support/every-kind-tar.js";
import { readFolder } from "../support/folder-listing.js";
import { fsck, temporaryFolder } from "../support/layer-fixture.js";
import { canMakeEveryKind } from "../support/privileges.js";
import { differences, type Listing } from "../support/tree-listing.js";

let folder: ReturnType<typeof temporaryFolder>;
const at = (...names: string[]) => join(folder.path, ...names);
const image = () => at("image");
const namesOf = async (source: string, options?: FolderImageOptions) => {
  await writeFolderImage(source, image(), options);
  return Object.keys(readErofs(image())).filter((name) => name !== ".");
};

beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(at("source"));
});
afterEach(() => folder[Symbol.dispose]());

test.runIf(canMakeEveryKind())("every kind of file reads back as it is in the folder", async () => {
  const tar = everyKindTar({ huge: false });
  try {
    execFileSync("tar", ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", tar, "-C", at("source")]);
  } finally {
    rmSync(dirname(tar), { recursive: true });
  }
  const figures = await writeFolderImage(at("source"), image());
  fsck(image());
  const expected = readFolder(at("source"));
  expect(differences(readErofs(image()), portable(expected))).toEqual([]);
  expect(figures).toMatchObject({ files: Object.keys(expected).length - 1, hasXattrs: true });
});

/** Marks of this machine are left behind. */
function portable(listing: Listing): Listing {
  const isPortable = (name: string) => /^(user\.|security\.capability$|system\.posix_acl_)/.test(name);
  return Object.fromEntries(
    Object.entries(listing).map(([path, { xattrs, ...node }]) => {
      const kept = Object.entries(xattrs ?? {}).filter(([name]) => isPortable(name) && node.type !== "symlink");
      return [path, kept.length > 0 ? { ...node, xattrs: Object.fromEntries(kept) } : node];
    }),
  );
}

test("what is no folder becomes the only entry", async () => {
  writeFileSync(at("source", "file"), "text");
  symlinkSync("file", at("source", "link"));
  expect(await namesOf(at("source", "file"))).toEqual(["content"]);
  await writeFolderImage(at("source", "link"), image());
  expect(readErofs(image()).content).toMatchObject({ type: "symlink", target: "file" });
  await writeFolderImage(at("source", "link"), image(), { followSymlinks: true });
  expect(readErofs(image()).content).toMatchObject({ type: "file", size: 4 });
});

test("holes take no place", async () => {
  writeFileSync(at("source", "sparse"), "begin");
  truncateSync(at("source", "sparse"), 2 ** 30);
  await writeFolderImage(at("source"), image());
  expect(statSync(image()).blocks * 512).toBeLessThan(2 ** 20);
  expect(readErofs(image()).sparse).toMatchObject({ size: 2 ** 30 });
});

test("excluded names are left out, with all below them", async () => {
  for (const path of ["node_modules/a/b", "src/x.log", "src/deep/y.log", "src/keep", "build/out", "lib/build/out"]) {
    mkdirSync(dirname(at("source", path)), { recursive: true });
    writeFileSync(at("source", path), "");
  }
  const kept = ["lib", "lib/build", "lib/build/out", "src", "src/deep", "src/keep"];
  expect((await namesOf(at("source"), { exclude: ["node_modules", "*.log", "/build/"] })).sort()).toEqual(kept);
  const asked: string[] = [];
  const exclude = (path: string, isFolder: boolean) => {
    asked.push(`${path}${isFolder ? "/" : ""}`);
    return path !== "lib";
  };
  expect(await namesOf(at("source"), { exclude })).toEqual(["lib"]);
  expect(asked.sort()).toEqual(["build/", "lib/", "lib/build/", "node_modules/", "src/"]);
});

test("followed links are what they lead to, and one that leads upwards is refused", async () => {
  mkdirSync(at("source", "folder"));
  writeFileSync(at("source", "folder", "file"), "text");
  symlinkSync("folder", at("source", "link"));
  expect((await namesOf(at("source"), { followSymlinks: true })).sort()).toEqual([
    "folder",
    "folder/file",
    "link",
    "link/file",
  ]);
  symlinkSync("..", at("source", "folder", "up"));
  await expect(writeFolderImage(at("source"), image(), { followSymlinks: true })).rejects.toThrow(
    /leads to a folder above it/,
  );
  rmSync(at("source", "folder", "up"));
  symlinkSync("nowhere", at("source", "dangling"));
  await expect(writeFolderImage(at("source"), image(), { followSymlinks: true })).rejects.toThrow(CopyError);
});

test("names of one file stay one file, and sockets are left out", async () => {
  writeFileSync(at("source", "a"), "text");
  linkSync(at("source", "a"), at("source", "b"));
  const server = createServer().listen(at("source", "socket"));
  await new Promise((resolve) => server.once("listening", resolve));
  await writeFolderImage(at("source"), image());
  server.close();
  expect(readErofs(image())).toMatchObject({ a: { nlink: 2 }, b: { nlink: 2, sameAs: "a" } });
  expect(readErofs(image()).socket).toBeUndefined();
});

test("what cannot be read is named, and no image is left", async () => {
  await expect(writeFolderImage(at("nothing"), image())).rejects.toMatchObject({
    code: "ERR_SUPERMACHINE_COPY",
    path: at("nothing"),
  });
  expect(() => readFileSync(image())).toThrow(/ENOENT/);
});

test("it can be followed and given up", async () => {
  for (let i = 0; i < 3_000; i++) writeFileSync(at("source", String(i)), "text");
  chmodSync(at("source"), 0o755);
  const seen: FolderFigures[] = [];
  await writeFolderImage(at("source"), image(), { onProgress: (figures) => seen.push(figures) });
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.every(({ bytes }, i) => bytes >= (seen[i - 1]?.bytes ?? 0))).toBe(true);
  const stop = new AbortController();
  const onProgress = () => stop.abort(new Error("enough"));
  await expect(writeFolderImage(at("source"), image(), { onProgress, signal: stop.signal })).rejects.toThrow("enough");
  expect(() => readFileSync(image())).toThrow(/ENOENT/);
});
