import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { type TarEntry, type TarHandler, TarReader } from "../../src/rootfs/tar/index.js";
import { pad, TarBuilder, type TarFields, tarHeader } from "../support/tar-builder.js";

interface ReadEntry extends TarEntry {
  content: string;
}

/** All entries of an archive, with their content (holes as zeros), read in pieces of a size. */
function readTar(archive: Buffer, pieceSize = archive.length): ReadEntry[] {
  const entries: ReadEntry[] = [];
  const last = () => entries[entries.length - 1] as ReadEntry;
  const handler: TarHandler = {
    entry: (entry) => void entries.push({ ...entry, content: "" }),
    data: (bytes) => {
      last().content += bytes.toString("latin1");
    },
    hole: (length) => {
      last().content += "\0".repeat(length);
    },
    end: () => undefined,
  };
  const reader = new TarReader(handler);
  for (let at = 0; at < archive.length; at += pieceSize) reader.write(archive.subarray(at, at + pieceSize));
  reader.end();
  return entries;
}

function readOne(builder: TarBuilder): ReadEntry {
  const entries = readTar(builder.finish());
  expect(entries).toHaveLength(1);
  return entries[0] as ReadEntry;
}

describe("headers", () => {
  it("gives every field of a ustar header", () => {
    const fields: TarFields = { name: "a", mode: 0o4755, uid: 1000, gid: 100, mtime: 1_700_000_000 };
    expect(readOne(new TarBuilder().add(fields, "hello"))).toEqual({
      type: "file",
      name: "a",
      linkName: "",
      mode: 0o4755,
      uid: 1000,
      gid: 100,
      size: 5,
      mtimeSeconds: 1_700_000_000,
      mtimeNanoseconds: 0,
      major: 0,
      minor: 0,
      xattrs: undefined,
      content: "hello",
    });
  });

  it.each([
    ["0", "file"],
    ["\0", "file"],
    ["7", "file"],
    ["1", "hardlink"],
    ["2", "symlink"],
    ["3", "char"],
    ["4", "block"],
    ["5", "directory"],
    ["6", "fifo"],
  ])("knows type flag %j as %s", (type, expected) => {
    expect(readOne(new TarBuilder().add({ name: "a", type, linkName: "b" })).type).toBe(expected);
  });

  it("joins the prefix of a ustar name", () => {
    expect(readOne(new TarBuilder().file("name", "", { prefix: "some/prefix" })).name).toBe("some/prefix/name");
  });

  it("takes a name and prefix that fill their fields without a NUL", () => {
    const { name } = readOne(new TarBuilder().file("n".repeat(100), "", { prefix: "p".repeat(155) }));
    expect(name).toBe(`${"p".repeat(155)}/${"n".repeat(100)}`);
  });

  it("does not take GNU's fields for a prefix", () => {
    const gnu = { magic: "gnu", patch: (block: Buffer) => void block.write("14524770000\0", 345) } as const;
    expect(readOne(new TarBuilder().file("name", "", gnu)).name).toBe("name");
  });

  it("reads star's shorter prefix", () => {
    const star = {
      magic: "star",
      prefix: "p".repeat(131),
      patch: (block: Buffer) => void block.write("0123", 476),
    } as const;
    expect(readOne(new TarBuilder().file("name", "", star)).name).toBe(`${"p".repeat(131)}/name`);
  });

  it("takes a V7 file whose name ends with a slash for a folder", () => {
    expect(readOne(new TarBuilder().add({ name: "folder/", type: "\0", magic: "v7" })).type).toBe("directory");
  });

  it("reads base-256 numbers, negative ones too", () => {
    const fields = { name: "a", base256: true, uid: 2 ** 31 + 5, gid: 4_000_000_000, mtime: 2 ** 40 };
    expect(readOne(new TarBuilder().add({ ...fields, patch: (b) => void b.write("0000644\0", 100) }))).toMatchObject({
      uid: 2 ** 31 + 5,
      gid: 4_000_000_000,
      mtimeSeconds: 2 ** 40,
    });
    expect(readOne(new TarBuilder().add({ name: "a", mtime: -12_345 })).mtimeSeconds).toBe(-12_345);
  });

  it("takes numbers padded by spaces, and blank ones as 0", () => {
    const patch = (block: Buffer) => {
      block.write("   644 \0", 100, "latin1");
      block.fill(0, 108, 116);
      block.fill(" ", 116, 124);
    };
    expect(readOne(new TarBuilder().add({ name: "a", patch }))).toMatchObject({ mode: 0o644, uid: 0, gid: 0 });
  });

  it("accepts the signed checksums of old writers", () => {
    expect(readOne(new TarBuilder().add({ name: "\xff\xfe", checksum: "signed" })).name).toBe("\xff\xfe");
  });

  it("gives device numbers", () => {
    expect(readOne(new TarBuilder().add({ name: "d", type: "4", major: 8, minor: 17 }))).toMatchObject({
      major: 8,
      minor: 17,
    });
  });

  it("ignores content that is claimed for what has none", () => {
    const archive = new TarBuilder().add({ name: "d", type: "5", size: 5000 }).file("f", "x").finish();
    expect(readTar(archive).map(({ name, size }) => [name, size])).toEqual([
      ["d", 0],
      ["f", 1],
    ]);
  });

  it("skips the content of a GNU dump directory", () => {
    const archive = new TarBuilder().add({ name: "d", type: "D", magic: "gnu" }, "Yname\0\0").file("f", "x").finish();
    expect(readTar(archive).map(({ name, type }) => [name, type])).toEqual([
      ["d", "directory"],
      ["f", "file"],
    ]);
  });

  it("ignores a volume label", () => {
    expect(readOne(new TarBuilder().add({ name: "label", type: "V", magic: "gnu" }).file("f")).name).toBe("f");
  });
});

describe("long names", () => {
  it("takes GNU long names and link targets for the next entry only", () => {
    const name = "n/".repeat(200);
    const builder = new TarBuilder().gnuLong("L", `${name}x`).gnuLong("K", "t".repeat(300));
    const [first, second] = readTar(builder.symlink("short", "short").symlink("b", "c").finish());
    expect(first).toMatchObject({ name: `${name}x`, linkName: "t".repeat(300) });
    expect(second).toMatchObject({ name: "b", linkName: "c" });
  });

  it("prefers PAX's name to GNU's", () => {
    const builder = new TarBuilder().gnuLong("L", "gnu").pax({ path: "pax" }).file("header");
    expect(readOne(builder).name).toBe("pax");
  });
});

describe("the stream", () => {
  const archive = new TarBuilder()
    .pax({ path: "long name", "SCHILY.xattr.user.a": "b" })
    .file("x", Buffer.alloc(1500, "abc"))
    .gnuLong("L", "g".repeat(600))
    .file("x", "second")
    .directory("d/")
    .finish();

  it.each([1, 3, 100, 511, 512, 513, 1000, 5000])("is read in pieces of %i bytes as at once", (size) => {
    expect(readTar(archive, size)).toEqual(readTar(archive));
  });

  it("may end without zero blocks, and without the last padding", () => {
    expect(readTar(new TarBuilder().file("a", "x").unfinished())).toHaveLength(1);
    const bytes = new TarBuilder().file("a", "x").unfinished();
    expect(readTar(bytes.subarray(0, 513))).toHaveLength(1);
  });

  it("may be empty", () => {
    expect(readTar(Buffer.alloc(0))).toEqual([]);
    expect(readTar(Buffer.alloc(1024))).toEqual([]);
  });

  it("may be followed by anything", () => {
    const bytes = Buffer.concat([new TarBuilder().file("a").finish(), Buffer.alloc(9000, "junk")]);
    expect(readTar(bytes)).toHaveLength(1);
  });

  it.each([100, 512, 700, 1024, 1500, 2048, 2500])("is truncated if it ends at byte %i", (end) => {
    expect(() => readTar(archive.subarray(0, end))).toThrow(ImageError);
    expect(() => readTar(archive.subarray(0, end))).toThrow(/truncated: it ends at byte/);
  });

  it("says where it is truncated", () => {
    const bytes = new TarBuilder().file("first").file("second", Buffer.alloc(2000)).unfinished().subarray(0, 1500);
    expect(() => readTar(bytes)).toThrow('ends at byte 1500, in the content of "second" (header at byte 512)');
  });
});

describe("a malformed archive", () => {
  const cases: [what: string, archive: Buffer, message: RegExp][] = [
    ["text", pad(Buffer.from("<html>not found</html>".repeat(30))), /wrong checksum|not a number/],
    [
      "a wrong checksum",
      new TarBuilder().file("a", "", { checksum: 1234 }).finish(),
      /wrong checksum \(1234, computed/,
    ],
    ["a number that is none", withPatch((b) => b.write("12x4567\0", 108)), /user id is not a number/],
    ["a size that is too large", withPatch((b) => b.fill(0xff, 124, 136).fill(0x80, 124, 125)), /out of range/],
    ["a negative size", withPatch((b) => b.fill(0xff, 124, 136)), /size is negative/],
    ["an unknown type", new TarBuilder().add({ name: "a", type: "Q" }).finish(), /type "Q" is not known/],
    ["a multi-volume entry", new TarBuilder().add({ name: "a", type: "M" }).finish(), /type "M" is not known/],
    ["an entry without a name", new TarBuilder().file("").finish(), /has no name/],
    ["a single zero block", Buffer.concat([Buffer.alloc(512), tarHeader({ name: "a" })]), /single zero block/],
    ["a long name for nothing", new TarBuilder().gnuLong("L", "x").finish(), /no entry follows/],
    ["a name of 5,000 bytes", new TarBuilder().gnuLong("L", "x".repeat(5000)).file("a").finish(), /at most 4097/],
    [
      "a PAX name of 5,000 bytes",
      new TarBuilder()
        .pax({ path: "x".repeat(5000) })
        .file("a")
        .finish(),
      /longer than 4096/,
    ],
    ["a NUL in a name", new TarBuilder().pax({ path: "a\0b" }).file("a").finish(), /NUL/],
    [
      "a PAX header of 2 MiB",
      new TarBuilder().add({ name: "p", type: "x", size: 2 ** 21 }).finish(),
      /at most 1048576/,
    ],
    ["a negative owner", new TarBuilder().pax({ uid: "-1" }).file("a").finish(), /user or group id is out of range/],
    ["an owner of 33 bits", new TarBuilder().pax({ gid: "4294967296" }).file("a").finish(), /group id is out of range/],
  ];

  it.each(cases)("with %s is refused", (_, archive, message) => {
    expect(() => readTar(archive)).toThrow(ImageError);
    expect(() => readTar(archive)).toThrow(message);
  });

  it("is described by the entry and its place", () => {
    const archive = new TarBuilder().file("good", "x").add({ name: "bad\x01name", type: "Q" }).finish();
    expect(() => readTar(archive)).toThrow(
      'because of "bad\\x01name" (header at byte 1024): its type "Q" is not known',
    );
  });
});

function withPatch(patch: (block: Buffer) => unknown): Buffer {
  return new TarBuilder().add({ name: "a", patch: (block) => void patch(block) }).finish();
}
