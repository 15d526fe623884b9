import { execFileSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { convertLayer } from "../../src/rootfs/index.js";
import { readErofs, readErofsFile } from "../support/erofs-reader.js";
import { convertToListing, fsck, inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";

const KIB = 1024;
const MIB = 1024 * KIB;

interface Converted {
  content: (name: string) => Buffer;
  blocksOnDisk: number;
  size: number;
}

async function convert(builder: TarBuilder, check: (image: Converted) => void): Promise<void> {
  using folder = temporaryFolder();
  const archive = builder.finish();
  const output = join(folder.path, "layer.erofs");
  const { size } = await convertLayer(inPieces(archive), {
    blobDigest: sha256(archive),
    diffId: sha256(archive),
    output,
  });
  fsck(output);
  check({ content: (name) => readErofsFile(output, name), blocksOnDisk: statSync(output).blocks, size });
}

/** "AAAA" at 100,000 and "BB" at the end of 200,000 bytes. */
const expected = Buffer.concat([Buffer.alloc(100_000), Buffer.from("AAAA"), Buffer.alloc(99_994), Buffer.from("BB")]);

describe("GNU's sparse formats", () => {
  it("0.0: pairs of records", async () => {
    const builder = new TarBuilder().pax([
      ["GNU.sparse.size", "200000"],
      ["GNU.sparse.numblocks", "2"],
      ["GNU.sparse.offset", "100000"],
      ["GNU.sparse.numbytes", "4"],
      ["GNU.sparse.offset", "199998"],
      ["GNU.sparse.numbytes", "2"],
    ]);
    await convert(builder.file("f", "AAAABB"), ({ content }) => expect(content("f").equals(expected)).toBe(true));
  });

  it("0.1: a map in a record, and the name in another", async () => {
    const builder = new TarBuilder().pax({
      "GNU.sparse.size": "200000",
      "GNU.sparse.numblocks": "2",
      "GNU.sparse.name": "real",
      "GNU.sparse.map": "100000,4,199998,2",
    });
    await convert(builder.file("GNUSparseFile.1/real", "AAAABB"), ({ content }) =>
      expect(content("real").equals(expected)).toBe(true),
    );
  });

  it("1.0: a map before the content", async () => {
    const map = Buffer.alloc(512);
    map.write("2\n100000\n4\n199998\n2\n");
    const builder = new TarBuilder().pax(sparse10("200000"));
    await convert(builder.file("x", Buffer.concat([map, Buffer.from("AAAABB")])), ({ content }) =>
      expect(content("real").equals(expected)).toBe(true),
    );
  });

  it("1.0: a map of many blocks, with empty segments", async () => {
    const segments = Array.from({ length: 500 }, (_, i) => `${i * 1000}\n${i % 3 === 0 ? 0 : 1}\n`);
    const text = `500\n${segments.join("")}`;
    const map = Buffer.alloc(Math.ceil(text.length / 512) * 512);
    map.write(text);
    const data = Buffer.alloc(333, "x");
    const builder = new TarBuilder().pax(sparse10("500000")).file("x", Buffer.concat([map, data]));
    await convert(builder, ({ content }) => {
      const bytes = content("real");
      for (let i = 0; i < 500; i++) expect(bytes[i * 1000]).toBe(i % 3 === 0 ? 0 : 0x78);
      expect(bytes.filter((byte) => byte !== 0).length).toBe(333);
    });
  });

  it("of old GNU headers, with extensions", async () => {
    const segments = Array.from({ length: 30 }, (_, i) => [i * 10_000, 5] as const);
    const extensions = [extension(segments.slice(4, 25), true), extension(segments.slice(25), false)];
    const patch = (block: Buffer) => {
      writeSegments(block, 386, segments.slice(0, 4));
      block[482] = 1;
      block.write("00002000000\0", 483, "latin1");
    };
    const builder = new TarBuilder().add({ name: "old", type: "S", magic: "gnu", size: 150, patch });
    for (const block of extensions) builder.raw(block);
    builder.raw(Buffer.concat([Buffer.alloc(150, "12345"), Buffer.alloc(362)]));
    await convert(builder.file("next", "n"), ({ content }) => {
      const bytes = content("old");
      expect(bytes.length).toBe(0o2000000);
      for (let i = 0; i < 30; i++) expect(bytes.toString("latin1", i * 10_000, i * 10_000 + 6)).toBe("12345\0");
      expect(content("next").toString()).toBe("n");
    });
  });

  it.each([
    ["that cover more than is stored", "0,10", "x", /covers 10 bytes, but 1 are stored/],
    ["that go backwards", "10,1,5,1", "xx", /ascending/],
    ["that overlap", "0,2,1,1", "xxx", /ascending/],
    ["that go past the end", "999,2", "xx", /past the end/],
    ["with an odd number", "0", "", /odd/],
    ["with a number that is none", "a,b", "", /not a number/],
    ["with a negative length", "0,-1", "", /ascending/],
  ])("refuse maps %s", async (_, map, content, message) => {
    const builder = new TarBuilder().pax({ "GNU.sparse.size": "1000", "GNU.sparse.map": map }).file("f", content);
    await expect(convertToListing(builder.finish())).rejects.toThrow(message);
  });

  it.each([
    ["text", "hello\n", /not a number|damaged/],
    ["a count that is too large", "99999999\n", /too long/],
    ["a negative count", "-5\n", /too long/],
    ["no end", `300\n${"0\n".repeat(254)}`, /truncated/],
    ["endless digits", "1".repeat(500), /damaged/],
  ])("refuse a leading map with %s", async (_, text, message) => {
    const map = Buffer.alloc(512);
    map.write(text);
    const builder = new TarBuilder().pax(sparse10("1000")).file("f", map);
    await expect(convertToListing(builder.finish())).rejects.toThrow(ImageError);
    await expect(convertToListing(builder.finish())).rejects.toThrow(message);
  });

  it("refuse a format that nobody knows", async () => {
    const builder = new TarBuilder().pax({ "GNU.sparse.major": "2", "GNU.sparse.realsize": "1" }).file("f", "x");
    await expect(convertToListing(builder.finish())).rejects.toThrow(/sparse format is not known/);
  });

  it.each(["0.0", "0.1", "1.0"])("are read as GNU tar writes %s", async (version) => {
    using folder = temporaryFolder();
    const path = join(folder.path, "f");
    writeFileSync(path, "");
    execFileSync("truncate", ["-s", "3M", path]);
    for (const at of [5, 100_000, 2_000_000, 3 * MIB - 3]) {
      execFileSync("dd", [`of=${path}`, "bs=1", `seek=${at}`, "conv=notrunc", "status=none"], { input: `at ${at}` });
    }
    const archive = join(folder.path, "a.tar");
    execFileSync("tar", [
      "--format=pax",
      "--sparse",
      `--sparse-version=${version}`,
      "-C",
      folder.path,
      "-cf",
      archive,
      "f",
    ]);
    expect(statSync(archive).size).toBeLessThan(MIB);
    const output = join(folder.path, "layer.erofs");
    const digest = sha256(readFileSync(archive));
    await convertLayer(inPieces(readFileSync(archive), 1000), { blobDigest: digest, diffId: digest, output });
    expect(readErofsFile(output, "f").equals(readFileSync(path))).toBe(true);
  });
});

describe("space on disk", () => {
  it("is not taken by a hole of 4 TiB", async () => {
    const size = 4 * 2 ** 40;
    const builder = new TarBuilder()
      .pax({ "GNU.sparse.size": String(size), "GNU.sparse.map": `${size - 3},3` })
      .file("f", "end");
    using folder = temporaryFolder();
    const archive = builder.finish();
    const output = join(folder.path, "layer.erofs");
    await convertLayer(inPieces(archive), { blobDigest: sha256(archive), diffId: sha256(archive), output });
    fsck(output);
    expect(statSync(output).blocks * 512).toBeLessThan(MIB);
    expect(readErofs(output).f?.size).toBe(size);
  });

  it("is not taken by long runs of zeros in an ordinary file, in the image neither", async () => {
    const content = Buffer.alloc(20 * MIB);
    content.write("start");
    content.write("middle", 10 * MIB + 5);
    await convert(new TarBuilder().file("f", content), ({ content: read, blocksOnDisk, size }) => {
      expect(read("f").equals(content)).toBe(true);
      expect(blocksOnDisk * 512).toBeLessThan(400 * KIB);
      expect(size).toBeLessThan(400 * KIB);
    });
  });

  it("is not taken by a file that is all zeros", async () => {
    await convert(new TarBuilder().file("f", Buffer.alloc(5 * MIB + 100)), ({ content, blocksOnDisk }) => {
      expect(content("f").equals(Buffer.alloc(5 * MIB + 100))).toBe(true);
      expect(blocksOnDisk * 512).toBeLessThan(64 * KIB);
    });
  });

  it("is taken once for content on both sides of a hole, whatever the alignment", async () => {
    for (const [before, zeros, after] of [
      [1, 64 * KIB, 1],
      [64 * KIB, 64 * KIB, 0],
      [64 * KIB, 64 * KIB, 64 * KIB],
      [4096, 200 * KIB, 4097],
      [0, 64 * KIB + 1, 10],
      [0, 128 * KIB, 5000],
      [100, 128 * KIB - 101, 1],
      [64 * KIB, 65 * KIB, 0],
    ] as const) {
      const content = Buffer.concat([Buffer.alloc(before, "b"), Buffer.alloc(zeros), Buffer.alloc(after, "a")]);
      await convert(new TarBuilder().file("f", content).file("g", "next"), ({ content: read }) => {
        expect(read("f").equals(content)).toBe(true);
        expect(read("g").toString()).toBe("next");
      });
    }
  });
});

function sparse10(realSize: string): Record<string, string> {
  return {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "real",
    "GNU.sparse.realsize": realSize,
  };
}

function writeSegments(block: Buffer, start: number, segments: readonly (readonly [number, number])[]): void {
  segments.forEach(([offset, length], i) => {
    block.write(
      `${offset.toString(8).padStart(11, "0")}\0${length.toString(8).padStart(11, "0")}\0`,
      start + i * 24,
      "latin1",
    );
  });
}

function extension(segments: readonly (readonly [number, number])[], more: boolean): Buffer {
  const block = Buffer.alloc(512);
  writeSegments(block, 0, segments);
  block[504] = more ? 1 : 0;
  return block;
}
