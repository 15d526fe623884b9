import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { type TarEntry, TarReader } from "../../src/rootfs/tar/index.js";
import { pad, paxRecord, TarBuilder, tarHeader } from "../support/tar-builder.js";

function entriesOf(builder: TarBuilder): TarEntry[] {
  const entries: TarEntry[] = [];
  const nothing = () => undefined;
  const reader = new TarReader({
    entry: (entry) => void entries.push(entry),
    data: nothing,
    hole: nothing,
    end: nothing,
  });
  reader.write(builder.finish());
  reader.end();
  return entries;
}

function only(builder: TarBuilder): TarEntry {
  const [entry] = entriesOf(builder);
  if (!entry) throw new Error("no entry");
  return entry;
}

const payload = (bytes: string) => new TarBuilder().add({ name: "pax", type: "x" }, bytes).file("a");

describe("PAX records", () => {
  it("replace the header's fields", () => {
    const records = { path: "p", linkpath: "l", uid: "70000", gid: "80000", mtime: "12.5" };
    expect(only(new TarBuilder().pax(records).symlink("a", "b"))).toMatchObject({
      name: "p",
      linkName: "l",
      uid: 70_000,
      gid: 80_000,
      mtimeSeconds: 12,
      mtimeNanoseconds: 500_000_000,
    });
  });

  it("replace the size, also of what is stored", () => {
    const builder = new TarBuilder().pax({ size: "700" }).raw(tarHeader({ name: "a", size: 0 }));
    const entries = entriesOf(builder.raw(pad(Buffer.alloc(700))).file("b"));
    expect(entries.map(({ name, size }) => [name, size])).toEqual([
      ["a", 700],
      ["b", 0],
    ]);
  });

  it("hold for the next entry only", () => {
    const [, second] = entriesOf(new TarBuilder().pax({ uid: "5" }).file("a").file("b"));
    expect(second?.uid).toBe(0);
  });

  it("of a global header hold for all entries that have none of their own", () => {
    const builder = new TarBuilder().pax({ uid: "5", gid: "6" }, "g").file("a").pax({ uid: "7" }).file("b").file("c");
    expect(entriesOf(builder).map(({ uid, gid }) => [uid, gid])).toEqual([
      [5, 6],
      [7, 6],
      [5, 6],
    ]);
  });

  it("take back a global one by an empty value", () => {
    expect(only(new TarBuilder().pax({ uid: "5" }, "g").pax({ uid: "" }).file("a", "", { uid: 9 })).uid).toBe(9);
  });

  it.each([
    ["1.25", 1, 250_000_000],
    ["1.", 1, 0],
    ["0.123456789123", 0, 123_456_789],
    ["-1", -1, 0],
    ["-1.5", -2, 500_000_000],
    ["-0.000000001", -1, 999_999_999],
    ["99999999999", 99_999_999_999, 0],
  ])("have times with fractions (%s)", (mtime, seconds, nanoseconds) => {
    const entry = only(new TarBuilder().pax({ mtime }).file("a"));
    expect([entry.mtimeSeconds, entry.mtimeNanoseconds]).toEqual([seconds, nanoseconds]);
  });

  it("have device numbers of any size", () => {
    const records = { "SCHILY.devmajor": "4000", "SCHILY.devminor": "1000000" };
    expect(only(new TarBuilder().pax(records).add({ name: "d", type: "3" }))).toMatchObject({
      major: 4000,
      minor: 1_000_000,
    });
  });

  it("ignore user and group names, comments and what nobody knows", () => {
    const records = { uname: "root", gname: "wheel", comment: "hello", "VENDOR.thing": "x", atime: "1", ctime: "2" };
    expect(only(new TarBuilder().pax(records).file("a")).xattrs).toBeUndefined();
  });

  it("keep names that are no UTF-8", () => {
    expect(only(new TarBuilder().pax({ path: "\xff\x80" }).file("a")).name).toBe("\xff\x80");
  });

  it("may have newlines and equals signs in their values", () => {
    expect(only(new TarBuilder().pax({ path: "a\nb=c" }).file("a")).name).toBe("a\nb=c");
  });
});

describe("extended attributes", () => {
  it("are binary", () => {
    const value = Buffer.from([0, 0xff, 0x3d, 0x0a, 0x80]);
    const { xattrs } = only(new TarBuilder().pax({ "SCHILY.xattr.security.capability": value }).file("a"));
    expect(xattrs).toEqual(new Map([["security.capability", value]]));
  });

  it("may be empty", () => {
    expect(only(new TarBuilder().pax({ "SCHILY.xattr.user.a": "" }).file("a")).xattrs).toEqual(
      new Map([["user.a", Buffer.alloc(0)]]),
    );
  });

  it("have names in which GNU tar escapes = and %", () => {
    const { xattrs } = only(new TarBuilder().pax({ "SCHILY.xattr.user.a%3Db%2541": "x" }).file("a"));
    expect([...(xattrs ?? [])].map(([name]) => name)).toEqual(["user.a=b%41"]);
  });

  it("are read in libarchive's notation", () => {
    const { xattrs } = only(new TarBuilder().pax({ "LIBARCHIVE.xattr.user.a%20b": "AAH/" }).file("a"));
    expect(xattrs).toEqual(new Map([["user.a b", Buffer.from([0, 1, 0xff])]]));
  });

  it("count in SCHILY's notation when there are both, in whatever order", () => {
    const schily: [string, string] = ["SCHILY.xattr.user.a", "right"];
    const libarchive: [string, string] = ["LIBARCHIVE.xattr.user.a", "d3Jvbmc"];
    for (const records of [
      [schily, libarchive],
      [libarchive, schily],
    ]) {
      expect(only(new TarBuilder().pax(records).file("a")).xattrs?.get("user.a")?.toString()).toBe("right");
    }
  });
});

describe("a malformed PAX header", () => {
  it.each([
    ["without a length", "path=a\n"],
    ["whose length is too large", "99 path=a\n"],
    ["whose length is too small", "5 path=a\n"],
    ["of length zero", "0 path=a\n"],
    ["without a key", "5 =a\n"],
    ["without an equals sign", "7 path\n"],
    ["with a number of nine digits for a length", "123456789 path=a\n"],
    ["with a uid that is no number", paxRecord("uid", "root").toString()],
    ["with a time that is no number", paxRecord("mtime", "now").toString()],
    ["with a size that is negative", paxRecord("size", "-1").toString()],
    ["with a size of 30 digits", paxRecord("size", "9".repeat(30)).toString()],
  ])("%s is refused", (_, bytes) => {
    expect(() => entriesOf(payload(bytes))).toThrow(ImageError);
  });

  it("may be padded by NULs", () => {
    expect(only(payload(`${paxRecord("path", "good")}\0\0\0`)).name).toBe("good");
  });
});
