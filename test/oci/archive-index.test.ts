import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { type FindInArchive, indexArchive } from "../../src/oci/archive-index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";

function index(archive: Buffer, size = archive.length): Promise<FindInArchive> {
  const readAt = async (position: number, length: number) => archive.subarray(position, position + length);
  return indexArchive(readAt, size, "the archive");
}

/** What the index says a name's content is. */
async function contentOf(archive: Buffer, name: string): Promise<string | undefined> {
  const range = (await index(archive))(name);
  return range && archive.toString("latin1", range.offset, range.offset + range.size);
}

const LONG = `${"long/".repeat(60)}name`;

describe("finding files in a tar archive", () => {
  it("finds every file of an archive, the empty one and the one behind it too", async () => {
    const archive = new TarBuilder()
      .directory("d/")
      .file("d/a", "one")
      .file("empty")
      .file("b", "x".repeat(513))
      .finish();
    expect(await contentOf(archive, "d/a")).toBe("one");
    expect(await contentOf(archive, "empty")).toBe("");
    expect(await contentOf(archive, "b")).toBe("x".repeat(513));
    expect(await contentOf(archive, "c")).toBeUndefined();
  });

  it.each([
    ["./a", "a"],
    ["a", "./a"],
    ["/a", "a"],
    ["././b//c", "b/c"],
    ["b/x/../c", "b/c"],
  ])("takes %s for %s", async (written, wanted) => {
    expect(await contentOf(new TarBuilder().file(written, "x").finish(), wanted)).toBe("x");
  });

  it("never finds what lies outside", async () => {
    const archive = new TarBuilder().file("../etc/passwd", "x").file("a/../../b", "x").finish();
    const find = await index(archive);
    for (const name of ["../etc/passwd", "etc/passwd", "b", "../b", "/etc/passwd", "a\0", ""]) {
      expect(find(name)).toBeUndefined();
    }
  });

  it("takes the later one of two files with a name", async () => {
    expect(await contentOf(new TarBuilder().file("a", "old").file("./a", "new").finish(), "a")).toBe("new");
  });

  it.each<[string, () => Buffer]>([
    ["a pax header", () => new TarBuilder().pax({ path: LONG }).file("short", "x").finish()],
    ["GNU's long name", () => new TarBuilder().gnuLong("L", LONG).file("short", "x").finish()],
  ])("reads a long name from %s, which holds for one entry only", async (_what, build) => {
    expect(await contentOf(build(), LONG)).toBe("x");
    expect(await contentOf(build(), "short")).toBeUndefined();
    const more = Buffer.concat([build().subarray(0, -1024), new TarBuilder().file("next", "y").finish()]);
    expect(await contentOf(more, "next")).toBe("y");
  });

  it("joins the prefix of a POSIX header, and not the bytes that GNU keeps there", async () => {
    expect(await contentOf(new TarBuilder().file("b", "x", { prefix: "a" }).finish(), "a/b")).toBe("x");
    expect(await contentOf(new TarBuilder().file("b", "x", { prefix: "a", magic: "gnu" }).finish(), "b")).toBe("x");
  });

  it("reads sizes in base 256 and from pax, which go before the header's", async () => {
    expect(await contentOf(new TarBuilder().file("a", "xyz", { base256: true }).finish(), "a")).toBe("xyz");
    const archive = new TarBuilder().pax({ size: "3" }).add({ name: "a", size: 0 }, "xyz").file("b", "next").finish();
    expect(await contentOf(archive, "a")).toBe("xyz");
    expect(await contentOf(archive, "b")).toBe("next");
  });

  it("passes over global headers, devices, folders with a size and types that nobody knows", async () => {
    const archive = new TarBuilder()
      .pax({ path: "wrong" }, "g")
      .add({ name: "dev", type: "3", size: 4096, major: 1, minor: 3 })
      .add({ name: "dir", type: "5", size: 4096 })
      .add({ name: "odd", type: "Z" }, "content of the odd one")
      .file("a", "x")
      .finish();
    expect(await contentOf(archive, "a")).toBe("x");
    await expect(contentOf(archive, "odd")).rejects.toThrow(/odd in the archive is not a regular file/);
    await expect(contentOf(archive, "dev")).rejects.toThrow(/is not a regular file/);
  });

  it("reads headers whose checksum counts all blocks alike, and no others", async () => {
    await expect(index(new TarBuilder().file("a", "x", { checksum: 7 }).finish())).rejects.toThrow(/not a tar archive/);
    const second = new TarBuilder().file("a", "x").file("b", "y", { checksum: 7 }).finish();
    await expect(index(second)).rejects.toThrow(/not a valid tar archive: bad header at byte 1024/);
  });

  it("does not need the end that tar writes", async () => {
    const unfinished = new TarBuilder().file("a", "x").unfinished();
    expect(await contentOf(unfinished, "a")).toBe("x");
    expect(await contentOf(unfinished.subarray(0, 513), "a")).toBe("x");
  });
});

describe("links in a tar archive", () => {
  it("are followed inside of it", async () => {
    const archive = new TarBuilder()
      .file("blobs/x", "content")
      .symlink("id/layer.tar", "../blobs/x")
      .symlink("id2/layer.tar", "../id/layer.tar")
      .hardLink("hard", "./id2/layer.tar")
      .pax({ linkpath: "blobs/x" })
      .symlink("far", "wrong")
      .finish();
    for (const name of ["id/layer.tar", "id2/layer.tar", "hard", "far"]) {
      expect(await contentOf(archive, name)).toBe("content");
    }
  });

  it.each<[string, string, RegExp]>([
    ["climb out", "../../etc/passwd", /a link that leads out of the archive/],
    ["are absolute", "/etc/passwd", /a link that leads out of the archive/],
    ["lead nowhere", "absent", /a link to absent, which is not in the archive/],
    ["lead to themselves", "a", /a link that leads in a circle/],
  ])("are refused when they %s", async (_what, target, reason) => {
    await expect(contentOf(new TarBuilder().symlink("a", target).finish(), "a")).rejects.toThrow(reason);
  });
});

describe("a damaged tar archive", () => {
  const whole = new TarBuilder().file("a", "x".repeat(3_000)).pax({ path: LONG }).file("b", "y").finish();

  it("is refused wherever it was cut, except where nothing is missing", async () => {
    const [firstEnd, secondEnd] = [512 + 3_000, whole.length - 1024 - 511];
    const padded = (size: number) => Math.ceil(size / 512) * 512;
    const cuts = [...Array.from({ length: whole.length / 61 }, (_, i) => 1 + i * 61), 512, 3_584, 4_096, 4_608, 5_632];
    for (const size of cuts) {
      const opened = index(whole.subarray(0, size)).then((find) => [find("a"), find(LONG)].map(Boolean));
      if (size >= firstEnd && size <= padded(firstEnd)) expect(await opened).toEqual([true, false]);
      else if (size >= secondEnd && size <= padded(secondEnd)) expect(await opened).toEqual([true, true]);
      else if (size >= padded(secondEnd) + 512) expect(await opened).toEqual([true, true]);
      else await expect(opened, `cut at ${size}`).rejects.toThrow(/truncated/);
    }
  });

  it.each<[string, Buffer]>([
    ["text", Buffer.from("hello, this is no archive\n".repeat(40))],
    ["random-looking bytes", Buffer.from(Array.from({ length: 2_048 }, (_, i) => (i * 7919 + 13) % 251))],
  ])("is refused when it is %s", async (_what, content) => {
    await expect(index(content)).rejects.toThrow(ImageError);
    await expect(index(content)).rejects.toThrow(/is not a tar archive/);
  });

  it("is refused when its sizes are impossible", async () => {
    const claims = (size: number) => new TarBuilder().add({ name: "a", size, base256: true }, "x").finish();
    await expect(index(claims(2 ** 40))).rejects.toThrow(/truncated/);
    await expect(index(claims(2 ** 62))).rejects.toThrow(/is not a tar archive/);
    await expect(index(claims(-512))).rejects.toThrow(/is not a tar archive/);
    const pax = (size: string) => new TarBuilder().pax({ size }).file("a", "x").finish();
    for (const size of ["-1", "1e3", "", "99999999999999999999"]) {
      await expect(index(pax(size))).rejects.toThrow(/not a valid tar archive/);
    }
  });

  it.each(["no record", "99 path=x\n", "5 a\n", "012 path=abc\n", "11 path=abc "])(
    "is refused when a pax header is %j",
    async (payload) => {
      const archive = new TarBuilder().add({ name: "pax", type: "x" }, payload).file("a").finish();
      await expect(index(archive)).rejects.toThrow(/not a valid tar archive/);
    },
  );

  it("is refused when a name is made to fill the memory", async () => {
    const archive = new TarBuilder()
      .gnuLong("L", "x".repeat(2 ** 20))
      .file("a")
      .finish();
    await expect(index(archive)).rejects.toThrow(/an extension header that is too long/);
  });

  it("is refused when it has more entries than any image", async () => {
    const entry = new TarBuilder().file("a").unfinished();
    const readAt = async () => entry;
    await expect(indexArchive(readAt, 2 ** 40, "the archive")).rejects.toThrow(/more than 200000 entries/);
  });
});

describe("archives of GNU tar", () => {
  it.each([
    ["gnu", []],
    ["pax", []],
    ["ustar", []],
    ["v7", []],
  ])("are read in the format %s", async (format) => {
    using folder = temporaryFolder();
    mkdirSync(join(folder.path, "in/blobs"), { recursive: true });
    writeFileSync(join(folder.path, "in/blobs/x"), "content");
    writeFileSync(join(folder.path, `in/${"n".repeat(90)}`), "other");
    const output = join(folder.path, "out.tar");
    execFileSync("tar", ["-C", join(folder.path, "in"), `--format=${format}`, "-cf", output, "."]);
    const archive = readFileSync(output);
    expect(await contentOf(archive, "blobs/x")).toBe("content");
    expect(await contentOf(archive, "n".repeat(90))).toBe("other");
  });

  it.each([
    ["gnu", []],
    ["pax", ["--sparse-version=1.0"]],
    ["pax", ["--sparse-version=0.1"]],
  ])("with holes in the format %s %j say so when such a file is wanted, and only then", async (format, more) => {
    using folder = temporaryFolder();
    mkdirSync(join(folder.path, "in"));
    execFileSync("truncate", ["-s", "1M", join(folder.path, "in/holes")]);
    for (let i = 0; i < 30; i++) {
      execFileSync("dd", [
        "if=/bin/sh",
        `of=${folder.path}/in/holes`,
        "bs=4k",
        "count=1",
        `seek=${i * 5}`,
        "conv=notrunc",
        "status=none",
      ]);
    }
    writeFileSync(join(folder.path, "in/z"), "content");
    const output = join(folder.path, "out.tar");
    const argv = [
      "-C",
      join(folder.path, "in"),
      `--format=${format}`,
      ...more,
      "--sparse",
      "-cf",
      output,
      "holes",
      "z",
    ];
    execFileSync("tar", argv);
    const archive = readFileSync(output);
    expect(await contentOf(archive, "z")).toBe("content");
    await expect(contentOf(archive, "holes")).rejects.toThrow(/make it without/);
  });
});
