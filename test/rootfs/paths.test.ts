import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { convertToListing } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";
import type { Listing } from "../support/tree-listing.js";

async function listing(builder: TarBuilder): Promise<Listing> {
  return (await convertToListing(builder.finish())).listing;
}

const paths = async (builder: TarBuilder) => Object.keys(await listing(builder));

describe("names", () => {
  it.each(["a/b", "./a/b", "/a/b", "a//b", "./././a/./b", "a/b/", "//a/b"])(
    "are the same when written as %j",
    async (name) => {
      expect(await paths(new TarBuilder().file(name, "x"))).toEqual([".", "a", "a/b"]);
    },
  );

  it("lead to directories that no entry has described, made as Docker makes them", async () => {
    const { ".": root, a } = await listing(new TarBuilder().file("a/b", "x", { uid: 5, mtime: 99 }));
    for (const node of [root, a])
      expect(node).toMatchObject({ type: "directory", mode: "755", uid: 0, gid: 0, mtime: "0.000000000" });
  });

  it.each(["./", "/", "."])("%j is the root", async (name) => {
    const root = (await listing(new TarBuilder().directory(name, { mode: 0o700, uid: 7, mtime: 5 })))["."];
    expect(root).toMatchObject({ mode: "700", uid: 7, mtime: "5.000000000" });
  });

  it.each(["../a", "a/../../b", "a/..", "..", "/../a", "a/../b", "./.."])(
    "%j is refused, for it has ..",
    async (name) => {
      await expect(listing(new TarBuilder().file(name, "x"))).rejects.toThrow(ImageError);
      await expect(listing(new TarBuilder().file(name, "x"))).rejects.toThrow('its path contains ".."');
    },
  );

  it("with dots that are no .. are ordinary", async () => {
    expect(await paths(new TarBuilder().file("...").file("..a").file("a..").file(".b"))).toEqual([
      ".",
      "...",
      "..a",
      ".b",
      "a..",
    ]);
  });

  it("of 255 bytes are taken and of 256 refused", async () => {
    expect(await paths(new TarBuilder().pax({ path: "n".repeat(255) }).file("x"))).toHaveLength(2);
    await expect(paths(new TarBuilder().pax({ path: "n".repeat(256) }).file("x"))).rejects.toThrow(
      "more than 255 bytes",
    );
    await expect(paths(new TarBuilder().pax({ path: `${"n".repeat(256)}/a` }).file("x"))).rejects.toThrow(
      "more than 255 bytes",
    );
  });

  it("may nest 2,000 deep", async () => {
    const path = `${"d/".repeat(2000)}f`;
    // fsck.erofs overflows its stack on this, with images by mkfs.erofs too.
    const { listing: found } = await convertToListing(new TarBuilder().pax({ path }).file("x").finish(), {
      fsck: false,
    });
    expect(Object.keys(found)).toHaveLength(2002);
  });

  it("may be those of JavaScript's own properties", async () => {
    const names = ["__proto__", "constructor", "hasOwnProperty", "toString"];
    const builder = new TarBuilder();
    for (const name of names) builder.file(`d/${name}`, name);
    const { listing: found } = await convertToListing(builder.finish());
    for (const name of names) expect(found[`d/${name}`]?.type).toBe("file");
  });

  it("are found in the order of their bytes", async () => {
    const names = ["a", "B", "_", "\xff", "\x01", "a.", "a/b".replace("/", "0"), "aa", "~", "-", "!"];
    const builder = new TarBuilder();
    for (const name of names) builder.file(name);
    expect(await paths(builder)).toHaveLength(names.length + 1);
  });
});

describe("a later entry of the same name", () => {
  it("replaces a file", async () => {
    const found = await listing(
      new TarBuilder().file("a", "first", { mode: 0o600 }).file("./a", "second", { mode: 0o640 }),
    );
    expect(found.a).toMatchObject({ mode: "640", size: 6, nlink: 1 });
  });

  it("that is a directory keeps the entries and takes the attributes", async () => {
    const builder = new TarBuilder()
      .directory("d", { mode: 0o700 })
      .file("d/f", "x")
      .directory("d/", { mode: 0o1777, uid: 3 });
    const found = await listing(builder);
    expect(found.d).toMatchObject({ mode: "1777", uid: 3 });
    expect(found["d/f"]?.type).toBe("file");
  });

  it("that is a file replaces a directory and all below it", async () => {
    const builder = new TarBuilder().file("d/a/b", "x").file("d/c", "y").file("d", "file");
    expect(await paths(builder)).toEqual([".", "d"]);
  });

  it("that is a directory replaces a file or a symbolic link", async () => {
    const builder = new TarBuilder().file("a").symlink("b", "/etc").directory("a").directory("b").file("b/c");
    const found = await listing(builder);
    expect(Object.entries(found).map(([path, { type }]) => [path, type])).toEqual([
      [".", "directory"],
      ["a", "directory"],
      ["b", "directory"],
      ["b/c", "file"],
    ]);
  });

  it("goes to the new directory, not to the one that was replaced", async () => {
    const builder = new TarBuilder().file("d/a").file("d").directory("d").file("d/b");
    expect(await paths(builder)).toEqual([".", "d", "d/b"]);
  });

  it("of the root that is no directory is refused", async () => {
    await expect(listing(new TarBuilder().file("./"))).rejects.toThrow("replaces the root");
  });

  it("of a file's child is refused", async () => {
    await expect(listing(new TarBuilder().file("a").file("a/b"))).rejects.toThrow(
      'leads through "a", which is not a directory',
    );
  });
});

describe("a path through a symbolic link of the layer", () => {
  it.each([
    ["a relative target", "dir", "lib/f", "dir/f"],
    ["an absolute target, within the layer's root", "/dir", "lib/f", "dir/f"],
    ["a target that climbs out: no further than the root", "../../../../dir", "lib/f", "dir/f"],
    ["a target that does not exist: it is made", "new/place", "lib/f", "new/place/f"],
    ["the root as its target", "/", "lib/f", "f"],
  ])("leads where that leads: %s", async (_, target, path, expected) => {
    const found = await paths(new TarBuilder().directory("dir").symlink("lib", target).file(path, "x"));
    expect(found).toContain(expected);
    expect(found).not.toContain(path);
  });

  it("leads through several", async () => {
    const builder = new TarBuilder()
      .symlink("usr/lib", "../three")
      .symlink("one", "two")
      .symlink("two", "usr/lib")
      .file("one/f");
    expect(await paths(builder)).toContain("three/f");
  });

  it("leads relative to the link's own directory", async () => {
    expect(await paths(new TarBuilder().symlink("a/b/link", "../x").file("a/b/link/f"))).toContain("a/x/f");
  });

  it("is refused when links lead in a circle", async () => {
    const builder = new TarBuilder().symlink("a", "b").symlink("b", "a").file("a/f");
    await expect(paths(builder)).rejects.toThrow("too many symbolic links");
  });

  it("replaces the link itself when it is the path's end", async () => {
    const found = await listing(new TarBuilder().symlink("a", "b").file("b", "old").file("a", "new!"));
    expect(found.a).toMatchObject({ type: "file", size: 4 });
    expect(found.b).toMatchObject({ type: "file", size: 3 });
  });
});

describe("hard links", () => {
  it("are one inode with as many links as names", async () => {
    const found = await listing(new TarBuilder().file("a", "x").hardLink("b", "a").hardLink("d/c", "./b"));
    expect(found.a?.nlink).toBe(3);
    expect(found.b?.sameAs).toBe("a");
    expect(found["d/c"]).toMatchObject({ sameAs: "a", nlink: 3 });
  });

  it("lose a link when a name is replaced", async () => {
    const found = await listing(new TarBuilder().file("a", "x").hardLink("b", "a").hardLink("c", "a").file("a", "new"));
    expect(found.b?.nlink).toBe(2);
    expect(found.a?.nlink).toBe(1);
  });

  it("lose a link when a directory with a name goes", async () => {
    const found = await listing(new TarBuilder().file("d/a", "x").hardLink("b", "d/a").file("d", "file"));
    expect(found.b?.nlink).toBe(1);
  });

  it("to itself changes nothing", async () => {
    expect((await listing(new TarBuilder().file("a", "x").hardLink("a", "a"))).a?.nlink).toBe(1);
    expect((await listing(new TarBuilder().file("a", "x").hardLink("b", "a").hardLink("b", "a"))).a?.nlink).toBe(2);
  });

  it("may lead to symbolic links and devices", async () => {
    const builder = new TarBuilder()
      .symlink("s", "x")
      .hardLink("t", "s")
      .add({ name: "n", type: "3", major: 1, minor: 3 });
    const found = await listing(builder.hardLink("m", "n"));
    expect(found.t).toMatchObject({ type: "symlink", target: "x", sameAs: "s" });
    expect(found.n).toMatchObject({ type: "char", device: "1:3", nlink: 2, sameAs: "m" });
  });

  it.each([
    ["a name that is missing", new TarBuilder().hardLink("a", "nothing"), "which the layer does not have before it"],
    [
      "a name that comes later",
      new TarBuilder().hardLink("a", "b").file("b"),
      "which the layer does not have before it",
    ],
    ["a name in a directory that is missing", new TarBuilder().hardLink("a", "x/y/z"), "does not have before it"],
    ["a directory", new TarBuilder().directory("d").hardLink("a", "d"), "which is a directory"],
    ["the root", new TarBuilder().hardLink("a", "/"), "which is a directory"],
    ["a place outside", new TarBuilder().hardLink("a", "../etc/passwd"), '".."'],
  ])("to %s are refused", async (_, builder, message) => {
    await expect(listing(builder)).rejects.toThrow(ImageError);
    await expect(listing(builder)).rejects.toThrow(message);
  });
});

describe("links and devices that Linux does not have", () => {
  it.each([
    ["a symbolic link without a target", new TarBuilder().symlink("a", ""), "without a target"],
    ["a target of 4,096 bytes", new TarBuilder().gnuLong("K", "t".repeat(4096)).symlink("a", ""), "longer than 4095"],
    ["a major number of 13 bits", new TarBuilder().add({ name: "d", type: "3", major: 4096 }), "no device 4096:0"],
    [
      "a minor number of 21 bits",
      new TarBuilder().add({ name: "d", type: "4", minor: 2 ** 20 }),
      "no device 0:1048576",
    ],
  ])("are refused: %s", async (_, builder, message) => {
    await expect(listing(builder)).rejects.toThrow(ImageError);
    await expect(listing(builder)).rejects.toThrow(message);
  });
});
