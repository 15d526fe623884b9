import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { conversionFailure, convertToListing, inPieces, sha256 } from "../support/layer-fixture.js";
import { randomFrom } from "../support/random.js";
import { TarBuilder } from "../support/tar-builder.js";

const archive = new TarBuilder().file("f", randomFrom(1).bytes(300_000)).directory("d").finish();
const digest = sha256(archive);

describe("gzip", () => {
  it("may have several members", async () => {
    const packed = Buffer.concat([
      gzipSync(archive.subarray(0, 1000)),
      gzipSync(archive.subarray(1000, 200_000)),
      gzipSync(Buffer.alloc(0)),
      gzipSync(archive.subarray(200_000)),
    ]);
    for (const pieceSize of [100, 5000, packed.length]) {
      expect((await convertToListing(archive, { packed, pieceSize })).entries).toBe(2);
    }
  });

  it("may be followed by what is no member, as gzip -d has it, and the digest covers that", async () => {
    for (const trailer of [Buffer.alloc(3000), Buffer.alloc(500_000, "garbage")]) {
      const packed = Buffer.concat([gzipSync(archive), trailer]);
      for (const pieceSize of [1000, 65_536, packed.length]) {
        expect((await convertToListing(archive, { packed, pieceSize })).entries).toBe(2);
      }
      expect(
        await conversionFailure(inPieces(packed), { blobDigest: sha256(gzipSync(archive)), diffId: digest }),
      ).toContain("layer's blob is not");
    }
  });

  it.each([5, 10, 500, -1])("that ends early (at byte %i) is truncated", async (end) => {
    const packed = gzipSync(archive).subarray(0, end);
    const message = await conversionFailure(inPieces(packed), { blobDigest: sha256(packed), diffId: digest });
    expect(message).toMatch(/gzip data is truncated|gzip data is damaged or truncated: unexpected end of file/);
  });

  it("that is damaged is refused", async () => {
    const packed = gzipSync(archive);
    packed[20] = (packed[20] ?? 0) ^ 0xff;
    const message = await conversionFailure(inPieces(packed), { blobDigest: sha256(packed), diffId: digest });
    expect(message).toMatch(/gzip data is damaged|not the expected content|cannot be used/);
  });

  it("may have a name, a comment, extra data and a checksum in its header", async () => {
    const small = new TarBuilder().file("f", "x").finish();
    const start = Buffer.from([0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 0, 0, 0, 0, 0, 3, 5, 0]);
    const packed = Buffer.concat([start, Buffer.from("extraname\0comment\0cc"), gzipSync(small).subarray(10)]);
    for (const pieceSize of [1, 13, packed.length]) {
      expect((await convertToListing(small, { packed, pieceSize })).entries).toBe(1);
    }
  });

  it.each([
    ["reserved flags", Buffer.from([0x1f, 0x8b, 8, 0x80, 0, 0, 0, 0, 0, 3])],
    [
      "a name without end",
      Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]), Buffer.alloc(100_000, "n")]),
    ],
  ])("with %s is refused", async (_, packed) => {
    expect(await conversionFailure(inPieces(packed), { blobDigest: sha256(packed), diffId: digest })).toContain(
      "gzip data is damaged",
    );
  });

  it("of a wrong digest is called that, even if it is truncated too", async () => {
    const packed = gzipSync(archive);
    const message = await conversionFailure(inPieces(packed.subarray(0, 1000)), {
      blobDigest: sha256(packed),
      diffId: digest,
    });
    expect(message).toContain("layer's blob is not the expected content");
  });
});
