import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { crc32c } from "../../src/rootfs/erofs/crc32c.js";
import { planDirectory } from "../../src/rootfs/erofs/directory.js";
import { convertLayer } from "../../src/rootfs/index.js";
import { convertToListing, fsck, inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";
import { ContentDigest } from "../support/tree-listing.js";

const listing = async (builder: TarBuilder) => (await convertToListing(builder.finish())).listing;

function digestOf(content: Buffer): string {
  const digest = new ContentDigest();
  for (let at = 0; at < content.length; at += 4096) digest.block(at, content.subarray(at, at + 4096));
  return digest.value(content.length);
}

describe("the superblock", () => {
  it("is as dump.erofs and fsck.erofs want it, and the same for the same layer", async () => {
    using folder = temporaryFolder();
    const archive = new TarBuilder().file("a", "x").directory("d").finish();
    const digest = sha256(archive);
    const image = join(folder.path, "image");
    await convertLayer(inPieces(archive), { blobDigest: digest, diffId: digest, output: image });
    fsck(image);
    const dump = execFileSync("dump.erofs", ["-s", image], { encoding: "latin1" });
    expect(dump).toMatch(/magic number:\s+0xE0F5E1E2/);
    expect(dump).toMatch(/inode count:\s+3/);
    expect(dump).toMatch(/features:\s+sb_csum mtime/);
    const uuid = digest.slice(7, 39).replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
    expect(dump).toContain(uuid);
    expect(readFileSync(image).readUInt32LE(1024 + 36) * 4096).toBe(readFileSync(image).length);
  });

  it("has a CRC-32C, of which these are known values", () => {
    // RFC 3720, appendix B.4; those have the final inversion.
    expect(~crc32c(0xffffffff, Buffer.alloc(32)) >>> 0).toBe(0x8a9136aa);
    expect(~crc32c(0xffffffff, Buffer.alloc(32, 0xff)) >>> 0).toBe(0x62a8ab43);
    expect(~crc32c(0xffffffff, Buffer.from("123456789")) >>> 0).toBe(0xe3069283);
  });
});

describe("file content", () => {
  const XATTR_SIZES = [0, 1, 100, 3000, 3950, 4000, 4100, 9000];
  const SIZES = [1, 31, 32, 64, 3000, 4031, 4032, 4033, 4096, 4096 + 100, 4096 + 4032];

  it.each(XATTR_SIZES)("of sizes around a block reads back beside attributes of %i bytes", async (xattrSize) => {
    const builder = new TarBuilder();
    for (const size of SIZES) {
      if (xattrSize > 0) builder.pax({ "SCHILY.xattr.user.a": Buffer.alloc(xattrSize, "v") });
      builder.file(`f${size}`, Buffer.alloc(size, `${size}.`));
    }
    const found = await listing(builder);
    for (const size of SIZES) {
      expect(found[`f${size}`]?.content).toBe(digestOf(Buffer.alloc(size, `${size}.`)));
      expect(found[`f${size}`]?.xattrs?.["user.a"]?.length ?? 0).toBe(xattrSize * 2);
    }
  });

  it("of many small files shares blocks", async () => {
    const builder = new TarBuilder();
    for (let i = 0; i < 1000; i++) builder.file(`f${i}`, `content of file ${i}`);
    const { size } = await convertToListing(builder.finish());
    expect(size).toBeLessThan(1000 * 96 + 64 * 4096);
  });
});

describe("extended attributes", () => {
  it("of 254 on one file are kept, and 255 refused", async () => {
    const records = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`SCHILY.xattr.user.n${i}`, `value ${i}`]));
    const found = await listing(new TarBuilder().pax(records(254)).file("f").pax(records(254)).directory("./"));
    expect(Object.keys(found.f?.xattrs ?? {})).toHaveLength(254);
    expect(Object.keys(found["."]?.xattrs ?? {})).toHaveLength(254);
    await expect(listing(new TarBuilder().pax(records(255)).file("f"))).rejects.toThrow("more than 254 extended");
    await expect(listing(new TarBuilder().pax(records(255)).directory("d"))).rejects.toThrow("more than 254 extended");
  });

  it("of the largest number and size leave room for the overlay's mark", async () => {
    const many = Object.fromEntries(Array.from({ length: 254 }, (_, i) => [`SCHILY.xattr.user.n${i}`, "v"]));
    const large = Object.fromEntries(
      [65_535, 65_535, 65_535, 65_310].map((size, i) => [`SCHILY.xattr.user.${i}`, Buffer.alloc(size, "v")]),
    );
    for (const [records, count] of [
      [many, 254],
      [large, 4],
    ] as const) {
      const builder = new TarBuilder().pax(records).directory("./").file(".wh..wh..opq");
      const found = await listing(builder.pax(records).directory("d").file("d/.wh..wh..opq"));
      for (const path of [".", "d"]) {
        expect(found[path]?.xattrs?.["trusted.overlay.opaque"]).toBe("79");
        expect(Object.keys(found[path]?.xattrs ?? {})).toHaveLength(count + 1);
      }
    }
  });

  it("of 65,535 bytes are kept and longer ones refused", async () => {
    const value = (size: number) => ({ "SCHILY.xattr.user.a": Buffer.alloc(size, "v") });
    const builder = new TarBuilder().pax(value(65_535)).file("f", "content").pax(value(65_535)).directory("d");
    const found = await listing(builder.pax(value(65_535)).directory("./"));
    for (const path of ["f", "d", "."]) expect(found[path]?.xattrs?.["user.a"]?.length).toBe(2 * 65_535);
    await expect(listing(new TarBuilder().pax(value(65_536)).file("f"))).rejects.toThrow("more than 65535 bytes");
  });

  it("of 262 KB in all are kept and more refused", async () => {
    const records = (count: number) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, i) => [`SCHILY.xattr.user.${i}`, Buffer.alloc(65_000, "v")]),
      );
    expect(Object.keys((await listing(new TarBuilder().pax(records(4)).file("f"))).f?.xattrs ?? {})).toHaveLength(4);
    for (const type of ["0", "5"]) {
      const builder = new TarBuilder().pax(records(5)).add({ name: "x", type });
      await expect(listing(builder)).rejects.toThrow("extended attributes have more than 262000");
    }
  });

  it("of 65,535 bytes are kept on a symbolic link beside its target", async () => {
    const found = await listing(
      new TarBuilder().pax({ "SCHILY.xattr.security.a": Buffer.alloc(65_535, "v") }).symlink("s", "target"),
    );
    expect(found.s?.xattrs?.["security.a"]?.length).toBe(2 * 65_535);
    expect(found.s?.target).toBe("target");
  });

  it("of a user are only those of files and directories, as Linux has it", async () => {
    const records = { "SCHILY.xattr.user.a": "u", "SCHILY.xattr.trusted.a": "t" };
    const builder = new TarBuilder().pax(records).symlink("s", "x").pax(records).add({ name: "p", type: "6" });
    const found = await listing(builder.pax(records).file("f"));
    for (const path of ["s", "p"]) expect(found[path]?.xattrs).toEqual({ "trusted.a": "74" });
    expect(found.f?.xattrs).toEqual({ "trusted.a": "74", "user.a": "75" });
  });

  it("with a name of 255 bytes are kept and longer ones refused", async () => {
    const name = (length: number) => `user.${"n".repeat(length - 5)}`;
    const found = await listing(new TarBuilder().pax({ [`SCHILY.xattr.${name(255)}`]: "v" }).file("f"));
    expect(found.f?.xattrs).toEqual({ [name(255)]: "76" });
    await expect(listing(new TarBuilder().pax({ [`SCHILY.xattr.${name(256)}`]: "v" }).file("f"))).rejects.toThrow(
      "has more than 255 bytes",
    );
  });

  it("of every kind that Linux has keep their names", async () => {
    const names = ["user.a", "trusted.b", "security.capability", "system.posix_acl_access", "system.posix_acl_default"];
    const records = Object.fromEntries(names.map((name) => [`SCHILY.xattr.${name}`, `of ${name}`]));
    const found = await listing(new TarBuilder().pax(records).directory("d"));
    expect(Object.keys(found.d?.xattrs ?? {}).sort()).toEqual([...names].sort());
  });
});

describe("directories", () => {
  it("begin a new block when the next name does not fit", () => {
    // 12 bytes and the name each: 4,096 bytes are 16 names of 244.
    const name = "n".repeat(244);
    expect(planDirectory(Array.from({ length: 16 }, () => name))).toEqual({ starts: [0], size: 4096 });
    expect(planDirectory(Array.from({ length: 17 }, () => name))).toEqual({ starts: [0, 16], size: 4096 + 256 });
    expect(planDirectory([".", ".."])).toEqual({ starts: [0], size: 27 });
  });

  it.each([0, 1, 50, 120, 200, 250, 270, 300, 2000])("of %i names are whole, the root too", async (count) => {
    const builder = new TarBuilder();
    for (let i = 0; i < count; i++) builder.file(`name-${i}`).file(`d/name-${i}`);
    const found = await listing(builder.directory("d"));
    expect(Object.keys(found)).toHaveLength(2 + 2 * count);
  });

  it("of each fill of their last block are whole", async () => {
    const builder = new TarBuilder();
    let expected = 1;
    for (let length = 1; length <= 255; length += 2) {
      builder.directory(`${length}`);
      for (let i = 0; i < 16; i++)
        builder.pax({ path: `${length}/${String(i).padEnd(Math.max(length, 2), "n")}` }).file("x");
      expected += 17;
    }
    expect(Object.keys(await listing(builder))).toHaveLength(expected);
  });

  it("with attributes of each size beside their names are whole", async () => {
    const builder = new TarBuilder();
    for (let size = 3800; size < 4100; size += 7) {
      builder
        .pax({ "SCHILY.xattr.user.a": Buffer.alloc(size, "v") })
        .directory(`d${size}`)
        .file(`d${size}/f`);
    }
    const found = await listing(builder);
    expect(Object.values(found).filter(({ type }) => type === "file")).toHaveLength(43);
  });
});
