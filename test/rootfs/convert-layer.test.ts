import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type ConvertOptions, convertLayer, type LayerSource } from "../../src/rootfs/index.js";
import { readErofsFile } from "../support/erofs-reader.js";
import { conversionFailure, convertToListing, inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { randomFrom } from "../support/random.js";
import { TarBuilder } from "../support/tar-builder.js";

const content = randomFrom(1).bytes(300_000);
const archive = new TarBuilder().file("f", content).directory("d").finish();
const digest = sha256(archive);

const failure = (source: LayerSource, options: Partial<ConvertOptions> = {}) =>
  conversionFailure(source, { blobDigest: digest, diffId: digest, ...options });

describe("digests", () => {
  it("are both verified", async () => {
    const packed = gzipSync(archive);
    const { entries, empty } = await convertToListing(archive, { packed });
    expect({ entries, empty }).toEqual({ entries: 2, empty: false });
  });

  it("of a blob that is another fail, with what was expected and what came", async () => {
    const other = sha256(Buffer.from("other"));
    const message = await failure(inPieces(archive), { blobDigest: other, diffId: other });
    expect(message).toContain(`expected ${other}, got ${digest}`);
  });

  it("of an unpacked archive that is another fail", async () => {
    const packed = gzipSync(archive);
    const other = sha256(Buffer.from("other"));
    const message = await failure(inPieces(packed), { blobDigest: sha256(packed), diffId: other });
    expect(message).toContain(`unpacked archive is not the expected content: expected ${other}, got ${digest}`);
  });

  it("fail although the tar reader saw the end of the archive long before", async () => {
    const longer = Buffer.concat([archive, Buffer.alloc(100_000)]);
    expect(await failure(inPieces(longer))).toContain(`expected ${digest}`);
  });

  it("cover what follows the archive's end", async () => {
    const longer = Buffer.concat([archive, Buffer.alloc(100_000)]);
    expect((await convertToListing(longer)).entries).toBe(2);
  });

  it("may be SHA-512", async () => {
    using folder = temporaryFolder();
    const { createHash } = await import("node:crypto");
    const sha512 = `sha512:${createHash("sha512").update(archive).digest("hex")}`;
    const output = join(folder.path, "layer.erofs");
    expect((await convertLayer(inPieces(archive), { blobDigest: sha512, diffId: sha512, output })).entries).toBe(2);
  });

  it.each([
    "",
    "sha256",
    "sha256:",
    "sha256:abc",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    `sha256:${"A".repeat(64)}`,
    "sha256:../../x",
  ])("that are none (%j) are refused", async (bad) => {
    expect(await failure(inPieces(archive), { diffId: bad })).toContain("is not a digest");
    expect(await failure(inPieces(archive), { blobDigest: bad })).toContain("is not a digest");
  });
});

describe("the blob's size", () => {
  it("is checked when it is known", async () => {
    expect(await failure(inPieces(archive), { blobSize: archive.length + 1 })).toContain(
      `truncated: it has ${archive.length} of ${archive.length + 1} bytes`,
    );
    expect(await failure(inPieces(archive), { blobSize: archive.length - 1 })).toContain("has more than the");
  });

  it("ends a blob without end at once", async () => {
    async function* endless() {
      for (;;) yield Buffer.alloc(65_536);
    }
    expect(await failure(endless(), { blobSize: 100_000 })).toContain("has more than the 100000 bytes");
  });
});

describe("packing", () => {
  it("shows in the content, whatever the media type says", async () => {
    const gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    const plain = "application/vnd.oci.image.layer.v1.tar";
    expect((await convertToListing(archive, { mediaType: gzip })).entries).toBe(2);
    expect((await convertToListing(archive, { mediaType: plain, packed: gzipSync(archive) })).entries).toBe(2);
  });

  it.each([
    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.erofs",
    "__proto__",
    "",
  ])("of a media type that is no layer's (%j) is refused", async (mediaType) => {
    expect(await failure(inPieces(archive), { mediaType })).toContain(
      `media type ${JSON.stringify(mediaType)} is not known`,
    );
  });

  it.each([
    ["bzip2", Buffer.from("BZh91AY&SY", "latin1")],
    ["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04])],
  ])("by %s is refused by name", async (tool, start) => {
    const packed = Buffer.concat([start, randomFrom(5).bytes(10_000)]);
    expect(await failure(inPieces(packed), { blobDigest: sha256(packed) })).toContain(`packed by ${tool}`);
  });

  it.each([1, 2, 5, 6, 7, 1000])("is recognised in pieces of %i bytes", async (pieceSize) => {
    const small = new TarBuilder().file("f", "x").finish();
    expect((await convertToListing(small, { pieceSize, packed: gzipSync(small) })).entries).toBe(1);
    expect((await convertToListing(small, { pieceSize })).entries).toBe(1);
  });
});

describe("a source", () => {
  it("that fails gives its own error, and nothing stays", async () => {
    using folder = temporaryFolder();
    const broken = new Error("the network is gone");
    async function* source() {
      yield archive.subarray(0, 70_000);
      throw broken;
    }
    for (const bytes of [source(), Readable.from(source())]) {
      const options = { blobDigest: digest, diffId: digest, output: join(folder.path, "x") };
      await expect(convertLayer(bytes, options)).rejects.toBe(broken);
    }
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("that fails while packed gives its own error", async () => {
    using folder = temporaryFolder();
    const broken = new Error("the network is gone");
    const packed = gzipSync(archive);
    async function* source() {
      yield packed.subarray(0, 70_000);
      throw broken;
    }
    const options = { blobDigest: digest, diffId: digest, output: join(folder.path, "x") };
    await expect(convertLayer(source(), options)).rejects.toBe(broken);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("that fails before it is read gives its own error too", async () => {
    using folder = temporaryFolder();
    const source = createReadStream(join(folder.path, "missing"));
    const options = { blobDigest: digest, diffId: digest, output: join(folder.path, "x") };
    await expect(convertLayer(source, options)).rejects.toMatchObject({ code: "ENOENT" });
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("is closed when the conversion cannot begin", async () => {
    using folder = temporaryFolder();
    const output = join(folder.path, "x");
    for (const options of [
      { diffId: "bad", output },
      { mediaType: "text/html", output },
      { output: join(folder.path, "missing/x") },
      { signal: AbortSignal.abort(), output },
    ]) {
      const source = inPieces(archive);
      await expect(convertLayer(source, { blobDigest: digest, diffId: digest, ...options })).rejects.toThrow();
      expect(source.destroyed).toBe(true);
    }
  });

  it("is closed when the archive turns out to be bad", async () => {
    const source = inPieces(Buffer.concat([Buffer.alloc(100_000, "bad"), Buffer.alloc(10_000_000)]));
    expect(await failure(source)).toContain("checksum");
    expect(source.destroyed).toBe(true);
  });

  it("that gives text is refused", async () => {
    using folder = temporaryFolder();
    const source = Readable.from(["text"]) as Readable;
    const options = { blobDigest: digest, diffId: digest, output: join(folder.path, "x") };
    await expect(convertLayer(source, options)).rejects.toThrow(TypeError);
  });
});

describe("a conversion", () => {
  it("that is aborted while it waits for the source ends at once, and leaves nothing", async () => {
    using folder = temporaryFolder();
    const source = new PassThrough();
    source.write(archive.subarray(0, 70_000));
    const controller = new AbortController();
    const reason = new Error("no longer wanted");
    const options = { blobDigest: digest, diffId: digest, output: join(folder.path, "x"), signal: controller.signal };
    const converting = convertLayer(source, options);
    setTimeout(() => controller.abort(reason), 20);
    await expect(converting).rejects.toBe(reason);
    expect(source.destroyed).toBe(true);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("that is aborted beforehand does not begin", async () => {
    using folder = temporaryFolder();
    const output = join(folder.path, "x");
    const options = { blobDigest: digest, diffId: digest, output, signal: AbortSignal.abort() };
    await expect(convertLayer(inPieces(archive), options)).rejects.toThrow("aborted");
    expect(existsSync(output)).toBe(false);
  });

  it("reports how far it is, in bytes of the blob", async () => {
    const packed = gzipSync(archive);
    const seen: number[] = [];
    await convertToListing(archive, { packed, pieceSize: 10_000, onProgress: (bytes) => seen.push(bytes) });
    expect(seen.at(-1)).toBe(packed.length);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.length).toBeGreaterThan(5);
  });

  it("writes the same bytes however the source comes", async () => {
    using folder = temporaryFolder();
    const images: Buffer[] = [];
    for (const [i, size] of [100, 65_536, 1_000_000].entries()) {
      const output = join(folder.path, String(i));
      await convertLayer(inPieces(archive, size), { blobDigest: digest, diffId: digest, output });
      images.push(readFileSync(output));
    }
    expect(images[1]?.equals(images[0] as Buffer)).toBe(true);
    expect(images[2]?.equals(images[0] as Buffer)).toBe(true);
  });

  it("replaces what is at its output", async () => {
    using folder = temporaryFolder();
    const output = join(folder.path, "x");
    writeFileSync(output, Buffer.alloc(10_000_000, "old"));
    const { size } = await convertLayer(inPieces(archive), { blobDigest: digest, diffId: digest, output });
    expect(statSync(output).size).toBe(size);
    expect(readErofsFile(output, "f").equals(content)).toBe(true);
  });

  it("fails with the system's error when it cannot write", async () => {
    const options = { blobDigest: digest, diffId: digest, output: "/nonexistent/folder/x" };
    await expect(convertLayer(inPieces(archive), options)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it.runIf(existsSync("/dev/full"))("fails with the system's error when the disk is full", async () => {
    // /dev/full takes no byte; nothing else is known to be full everywhere.
    const large = new TarBuilder().file("f", randomFrom(2).bytes(3_000_000)).finish();
    using folder = temporaryFolder();
    execFileSync("ln", ["-s", "/dev/full", join(folder.path, "x")]);
    const options = { blobDigest: sha256(large), diffId: sha256(large), output: join(folder.path, "x") };
    await expect(convertLayer(inPieces(large), options)).rejects.toMatchObject({ code: "ENOSPC" });
    expect(readdirSync(folder.path)).toEqual([]);
  });
});

describe("an empty layer", () => {
  it.each([
    ["of two zero blocks", Buffer.alloc(1024)],
    ["of no bytes", Buffer.alloc(0)],
    ["of a PAX header alone", new TarBuilder().pax({ comment: "x" }, "g").finish()],
  ])("%s is reported, and is a valid image", async (_, bytes) => {
    const { empty, entries, listing } = await convertToListing(bytes);
    expect({ empty, entries, paths: Object.keys(listing) }).toEqual({ empty: true, entries: 0, paths: ["."] });
  });

  it("is not one that only describes the root", async () => {
    expect((await convertToListing(new TarBuilder().directory("./").finish())).empty).toBe(false);
  });
});
