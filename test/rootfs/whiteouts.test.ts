import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { convertToListing } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";
import type { ListedNode, Listing } from "../support/tree-listing.js";

async function listing(builder: TarBuilder): Promise<Listing> {
  return (await convertToListing(builder.finish())).listing;
}

const isWhiteout = (node: ListedNode | undefined) => node?.type === "char" && node.device === "0:0";
const isOpaque = (node: ListedNode | undefined) => node?.xattrs?.["trusted.overlay.opaque"] === "79";

describe("a whiteout", () => {
  it("becomes a device 0:0 of the name", async () => {
    const found = await listing(new TarBuilder().directory("d").file("d/.wh.gone"));
    expect(Object.keys(found)).toEqual([".", "d", "d/gone"]);
    expect(found["d/gone"]).toMatchObject({ type: "char", device: "0:0", mode: "0", uid: 0, gid: 0 });
  });

  it("of the root's entries works too, with and without ./", async () => {
    const found = await listing(new TarBuilder().file(".wh.a").file("./.wh.b").file("/.wh.c"));
    for (const name of ["a", "b", "c"]) expect(isWhiteout(found[name])).toBe(true);
  });

  it("loses to a file of its name, before or after it", async () => {
    for (const names of [
      ["a", ".wh.a"],
      [".wh.a", "a"],
    ]) {
      const builder = new TarBuilder();
      for (const name of names) builder.file(name);
      expect((await listing(builder)).a?.type).toBe("file");
    }
  });

  it("makes a directory of its name opaque, before or after it", async () => {
    const before = await listing(new TarBuilder().file(".wh.d").directory("d").file("d/f"));
    const after = await listing(new TarBuilder().directory("d").file("d/f").file(".wh.d"));
    const implied = await listing(new TarBuilder().file(".wh.d").file("d/f"));
    for (const found of [before, after, implied]) {
      expect(isOpaque(found.d)).toBe(true);
      expect(found["d/f"]?.type).toBe("file");
    }
  });

  it("may come twice, and shares its inode with all the others", async () => {
    const found = await listing(new TarBuilder().file(".wh.a").file(".wh.a").file(".wh.b").file("d/.wh.c"));
    expect(Object.values(found).filter(isWhiteout)).toHaveLength(3);
    expect(found.a?.nlink).toBe(3);
  });

  it("does not need to be a file", async () => {
    expect(isWhiteout((await listing(new TarBuilder().directory(".wh.a"))).a)).toBe(true);
  });

  it("of a name that begins with .wh. is one of that name", async () => {
    expect(isWhiteout((await listing(new TarBuilder().file(".wh..hidden")))[".hidden"])).toBe(true);
  });

  it.each([".wh.", ".wh..", ".wh...", "d/.wh."])("of no name (%j) is refused", async (name) => {
    await expect(listing(new TarBuilder().file(name))).rejects.toThrow(ImageError);
    await expect(listing(new TarBuilder().file(name))).rejects.toThrow("whiteout of no name");
  });

  it("in a directory behind a symbolic link goes where the link leads", async () => {
    const found = await listing(new TarBuilder().symlink("lib", "usr/lib").file("lib/.wh.a"));
    expect(isWhiteout(found["usr/lib/a"])).toBe(true);
  });
});

describe("an opaque mark", () => {
  it.each([
    ["first", ["d/.wh..wh..opq", "d/a", "d/b"]],
    ["in between", ["d/a", "d/.wh..wh..opq", "d/b"]],
    ["last", ["d/a", "d/b", "d/.wh..wh..opq"]],
  ])("makes its directory opaque, also when it comes %s", async (_, names) => {
    const builder = new TarBuilder().directory("d", { mode: 0o711 });
    for (const name of names) builder.file(name);
    const found = await listing(builder);
    expect(Object.keys(found)).toEqual([".", "d", "d/a", "d/b"]);
    expect(isOpaque(found.d)).toBe(true);
    expect(found.d?.mode).toBe("711");
    expect(isOpaque(found["."])).toBe(false);
  });

  it("stays when the directory's own entry comes after it", async () => {
    const found = await listing(new TarBuilder().file("d/.wh..wh..opq").directory("d", { mode: 0o700 }));
    expect(isOpaque(found.d)).toBe(true);
    expect(found.d?.mode).toBe("700");
  });

  it("in the root makes the root opaque", async () => {
    expect(isOpaque((await listing(new TarBuilder().file(".wh..wh..opq")))["."])).toBe(true);
  });

  it("keeps the directory's other attributes", async () => {
    const builder = new TarBuilder().pax({ "SCHILY.xattr.user.a": "b" }).directory("d").file("d/.wh..wh..opq");
    expect((await listing(builder)).d?.xattrs).toEqual({ "trusted.overlay.opaque": "79", "user.a": "62" });
  });
});

describe("AUFS's bookkeeping", () => {
  it("goes", async () => {
    const builder = new TarBuilder().directory(".wh..wh.orph").file(".wh..wh.aufs").directory(".wh..wh.plnk");
    expect(Object.keys(await listing(builder.file(".wh..wh.plnk/1.2").file("a")))).toEqual([".", "a"]);
  });

  it("may hold the file that hard links lead to", async () => {
    const builder = new TarBuilder().file(".wh..wh.plnk/1.2", "x").hardLink("a", ".wh..wh.plnk/1.2").hardLink("b", "a");
    const found = await listing(builder);
    expect(found.a).toMatchObject({ type: "file", size: 1, nlink: 2 });
    expect(found.b?.sameAs).toBe("a");
  });
});

describe("attributes with which a layer could steer the overlay", () => {
  it("are dropped, the others kept", async () => {
    const builder = new TarBuilder()
      .pax({
        "SCHILY.xattr.trusted.overlay.redirect": "/secret",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.metacopy": "",
        "SCHILY.xattr.user.overlay.whiteout": "y",
        "SCHILY.xattr.trusted.other": "kept",
        "LIBARCHIVE.xattr.trusted.overlay.origin": "AAAA",
      })
      .directory("d");
    expect(Object.keys((await listing(builder)).d?.xattrs ?? {})).toEqual(["trusted.other"]);
  });

  it("of no Linux file system are dropped", async () => {
    const builder = new TarBuilder()
      .pax({ "SCHILY.xattr.com.apple.quarantine": "x", "SCHILY.xattr.system.nfs4_acl": "x", "SCHILY.xattr.user.": "x" })
      .file("f");
    expect((await listing(builder)).f?.xattrs).toBeUndefined();
  });
});
