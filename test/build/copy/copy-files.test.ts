import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type CopyRules, copyFiles, draftLayer, LayerDraft } from "../../../src/build/copy/index.js";
import { ContextTree, FileDigests, findSources, LayerTree, treeDigest } from "../../../src/build/tree/index.js";
import { compilePatterns, parseSourcePath } from "../../../src/dockerfile/index.js";
import { TarBuilder } from "../../support/tar-builder.js";
import { folderWith, listArchive, storeLayer } from "../build-fixture.js";

const RULES: CopyRules = { destination: "/", owner: undefined, mode: undefined, now: 0 };

const IMAGE = new TarBuilder()
  .directory("./", { mode: 0o755 })
  .directory("srv/", { mode: 0o750, uid: 7, gid: 8 })
  .directory("srv/old/", { mode: 0o700 })
  .file("srv/file", "x")
  .symlink("link", "srv")
  .symlink("out", "../../srv")
  .directory("tmp/", { mode: 0o1777 });

async function copied(files: Record<string, string>, source: string, rules: Partial<CopyRules>, ignore?: string[]) {
  const layer = await storeLayer(IMAGE);
  using image = new LayerTree("the image", [layer.path]);
  const draft = await LayerDraft.begin(image);
  const patterns = ignore && compilePatterns(ignore);
  using tree = new ContextTree("the context", folderWith(files), new FileDigests(), patterns);
  const matches = await findSources(tree, parseSourcePath(source));
  await copyFiles(draft, tree, matches, { ...RULES, ...rules });
  const chunks: Buffer[] = [];
  for await (const chunk of draftLayer(draft)) chunks.push(chunk);
  return listArchive(Buffer.concat(chunks)).slice(1);
}

describe("a file", () => {
  test("becomes the destination, and the folders above it stay as they are", async () => {
    expect(await copied({ a: "1" }, "a", { destination: "/srv/b" })).toEqual(["5 750 7:8 srv/", "0 644 0:0 srv/b=1"]);
  });

  test.each(["/srv", "/srv/", "/link", "/link/", "/out/"])("goes into the folder %s", async (destination) => {
    expect(await copied({ a: "1" }, "a", { destination })).toEqual(["5 750 7:8 srv/", "0 644 0:0 srv/a=1"]);
  });

  test("goes into a folder that is made, which belongs to the same owner", async () => {
    const owner = { uid: 5, gid: 6 };
    expect(await copied({ a: "1" }, "a", { destination: "/new/deep/", owner, mode: 0o400 })).toEqual([
      "5 755 5:6 new/",
      "5 755 5:6 new/deep/",
      "0 400 5:6 new/deep/a=1",
    ]);
  });

  test("cannot have a name that takes another file away in a layer", async () => {
    const refused = "cannot be in an image";
    await expect(copied({ "d/.wh.old": "1" }, "d", { destination: "/srv/" })).rejects.toThrow(refused);
    await expect(copied({ a: "1" }, "a", { destination: "/srv/.wh.old" })).rejects.toThrow(refused);
    expect(await copied({ ".whale": "1" }, ".whale", {})).toEqual(["0 644 0:0 .whale=1"]);
  });

  test("cannot go where a file is on the way, nor be a folder's replacement", async () => {
    await expect(copied({ a: "1" }, "a", { destination: "/srv/file/x" })).rejects.toThrow("is not a folder");
    await expect(copied({ "d/old": "1" }, "d", { destination: "/srv/" })).rejects.toThrow("a folder is in the place");
  });
});

describe("a folder", () => {
  test("gives what it has; a folder that is there takes over what the source's says", async () => {
    const files = { "d/old/x": "1", "d/file": "2", "d/sub/": "" };
    expect(await copied(files, "d", { destination: "/srv" })).toEqual([
      "5 750 7:8 srv/",
      "0 644 0:0 srv/file=2",
      "5 755 0:0 srv/old/",
      "0 644 0:0 srv/old/x=1",
      "5 755 0:0 srv/sub/",
    ]);
  });

  test("of an archive takes the place of a file, and a file that of a folder, of which nothing is seen again", async () => {
    const replaces = { destination: "/srv/", replaces: true };
    expect(await copied({ "d/file/x": "1", "d/old": "2" }, "d", replaces)).toEqual([
      "5 750 7:8 srv/",
      "5 755 0:0 srv/file/",
      "0 644 0:0 srv/file/x=1",
      "0 644 0:0 srv/old=2",
    ]);
    const layer = await storeLayer(IMAGE);
    using image = new LayerTree("the image", [layer.path]);
    const draft = await LayerDraft.begin(image);
    for (const files of [{ "d/old": "1" }, { "d/old/new": "2" }]) {
      using tree = new ContextTree("the context", folderWith(files), new FileDigests());
      await copyFiles(draft, tree, await findSources(tree, parseSourcePath("d")), { ...RULES, ...replaces });
    }
    const chunks: Buffer[] = [];
    for await (const chunk of draftLayer(draft)) chunks.push(chunk);
    expect(listArchive(Buffer.concat(chunks)).slice(1)).toEqual([
      "5 750 7:8 srv/",
      "5 755 0:0 srv/old/",
      "0 755 0:0 srv/old/.wh..wh..opq=",
      "0 644 0:0 srv/old/new=2",
    ]);
  });

  test("cannot replace a file", async () => {
    await expect(copied({ "d/file/x": "1" }, "d", { destination: "/srv" })).rejects.toThrow("cannot be replaced");
  });

  test("leaves out what is ignored, but not the exceptions below it", async () => {
    const files = { "d/a": "1", "d/b/keep": "2", "d/b/gone": "3", "d/c/x": "4" };
    expect(await copied(files, "d", { destination: "/n" }, ["d/a", "d/b", "d/c", "!d/b/keep"])).toEqual([
      "5 755 0:0 n/",
      "5 755 0:0 n/b/",
      "0 644 0:0 n/b/keep=2",
    ]);
  });
});

test("several sources need a folder", async () => {
  await expect(copied({ a: "1", b: "2" }, "*", { destination: "/x" })).rejects.toThrow("must be a folder");
  expect(await copied({ a: "1", b: "2", c1: "3" }, "[ab]", { destination: "/x/" })).toEqual([
    "5 755 0:0 x/",
    "0 644 0:0 x/a=1",
    "0 644 0:0 x/b=2",
  ]);
});

describe("what leads out of a context", () => {
  const folder = folderWith({ "in/file": "1" });
  symlinkSync("/etc/passwd", join(folder, "absolute"));
  symlinkSync("../../../../../../../../etc/passwd", join(folder, "in/relative"));
  symlinkSync("/in/file", join(folder, "within"));
  symlinkSync("/etc", join(folder, "folder"));
  symlinkSync("loop", join(folder, "loop"));
  const tree = new ContextTree("the context", folder, new FileDigests());
  const find = (source: string) => findSources(tree, parseSourcePath(source));

  test.each([
    "../../etc/passwd",
    "/etc/passwd",
    "absolute",
    "in/relative",
    "folder/passwd",
    "folder/pass*",
    "f*/passwd",
  ])("is not found: %s", async (source) => {
    expect(await find(source)).toEqual([]);
  });

  test("is no part of it even when it is a link; one within is followed", async () => {
    expect((await find("within"))[0]).toMatchObject({ name: "within", names: ["in", "file"] });
    await expect(find("loop")).rejects.toThrow("too many links");
  });
});

test("a digest depends on names, modes and content, not on times or inodes", async () => {
  const digest = async (files: Record<string, string>, mode?: boolean) => {
    using tree = new ContextTree("", folderWith(files), new FileDigests());
    return treeDigest(tree, await findSources(tree, parseSourcePath("*")), mode ?? false);
  };
  const same = await digest({ a: "1", "d/b": "2" });
  expect(await digest({ a: "1", "d/b": "2" })).toBe(same);
  expect(await digest({ a: "1", "d/b": "3" })).not.toBe(same);
  expect(await digest({ a: "1", "d/c": "2" })).not.toBe(same);
  expect(await digest({ a: "1", "d/b": "2", "e/": "" })).not.toBe(same);
});
