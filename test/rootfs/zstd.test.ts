import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { decodeZstd } from "../../src/rootfs/layer/zstd.js";
import { convertToListing, inPieces } from "../support/layer-fixture.js";
import { randomFrom } from "../support/random.js";
import { TarBuilder } from "../support/tar-builder.js";

const zstd = (bytes: Buffer, ...options: string[]) =>
  execFileSync("zstd", ["-q", "-c", ...options], { input: bytes, maxBuffer: 2 ** 30 });

const SKIPPABLE = Buffer.concat([Buffer.from([0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from("extra")]);

async function decode(packed: Buffer, pieceSize = 65_536): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of decodeZstd(pieces(packed, pieceSize))) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for await (const piece of inPieces(bytes, size)) yield piece as Buffer;
}

/** Text, runs and noise: every kind of block. */
const random = randomFrom(7);
const sample = Buffer.concat([
  Buffer.from(random.text(200_000)),
  Buffer.alloc(300_000, "run"),
  random.bytes(200_000),
  Buffer.alloc(500_000),
  Buffer.from("tail"),
]);

describe("zstd data", () => {
  it.each(["-1", "-3", "-12", "-19", "--fast=5", "--no-check"])("of level %s is decoded", async (level) => {
    expect((await decode(zstd(sample, level))).equals(sample)).toBe(true);
  });

  it.each([1, 2, 3, 17, 1000, 10_000_000])("is decoded in pieces of %i bytes", async (size) => {
    const packed = zstd(sample);
    expect((await decode(packed, size)).equals(sample)).toBe(true);
  });

  it.each([0, 1, 5, 100, 255, 256, 65_535, 65_536, 131_072, 131_073])(
    "of %i bytes, of known size, is decoded",
    async (size) => {
      const bytes = Buffer.from(sample.subarray(0, size));
      expect((await decode(zstd(bytes, `--stream-size=${size}`))).equals(bytes)).toBe(true);
      expect((await decode(zstd(bytes))).equals(bytes)).toBe(true);
    },
  );

  it("may have several frames, frames of other data between them, and empty ones", async () => {
    const parts = [sample.subarray(0, 100), sample.subarray(100, 400_000), Buffer.alloc(0), sample.subarray(400_000)];
    const packed = Buffer.concat(parts.flatMap((part) => [SKIPPABLE, zstd(Buffer.from(part))]).concat(SKIPPABLE));
    for (const size of [1, 7, 5000, packed.length]) expect((await decode(packed, size)).equals(sample)).toBe(true);
  });

  it("of a layer is converted, also when it begins with a frame of other data", async () => {
    const archive = new TarBuilder().file("f", sample).finish();
    for (const packed of [zstd(archive), Buffer.concat([SKIPPABLE, zstd(archive)])]) {
      expect((await convertToListing(archive, { packed })).entries).toBe(1);
    }
  });
});

describe("damaged zstd data", () => {
  const packed = zstd(sample);

  it.each([1, 3, 4, 5, 6, 8, 9, 100, packed.length - 5, packed.length - 1])(
    "that ends at byte %i is truncated",
    async (end) => {
      await expect(decode(packed.subarray(0, end))).rejects.toThrow(/truncated/);
    },
  );

  it("with garbage behind its frames is refused", async () => {
    await expect(decode(Buffer.concat([packed, Buffer.from("garbage")]))).rejects.toThrow(
      /begins with the wrong bytes/,
    );
  });

  it("that wants a window of 256 MiB is refused before that is allocated", async () => {
    const large = zstd(Buffer.from("small"), "--long=28", "--ultra", "-22", "--no-check");
    // The tool stores a small window for small content: the descriptor is set by hand.
    const frame = Buffer.concat([large.subarray(0, 4), Buffer.from([0, (28 - 10) << 3]), Buffer.from([1, 0, 0])]);
    await expect(decode(frame)).rejects.toThrow(/needs a window of 268435456 bytes/);
    const single = Buffer.concat([
      large.subarray(0, 4),
      Buffer.from([0b1010_0000, 0, 0, 0, 0x10]),
      Buffer.from([1, 0, 0]),
    ]);
    await expect(decode(single)).rejects.toThrow(/needs a window of 268435456 bytes/);
  });

  it("that needs a dictionary is refused", async () => {
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 0, 77, 1, 0, 0]);
    await expect(decode(frame)).rejects.toThrow(/dictionary/);
  });

  it.each([
    ["a block of a reserved type", [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 7, 0, 0], /reserved type/],
    ["a block that is too large", [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0x03, 0xff, 0xff], /too large/],
    ["a reserved flag", [0x28, 0xb5, 0x2f, 0xfd, 8, 0, 1, 0, 0], /reserved flag/],
  ])("with %s is refused", async (_, bytes, message) => {
    await expect(decode(Buffer.from(bytes))).rejects.toThrow(message);
  });

  it("gives an ImageError or wrong bytes, never anything else, wherever a byte is changed", async () => {
    const small = zstd(Buffer.concat([sample.subarray(0, 20_000), sample.subarray(480_000, 540_000)]));
    for (let i = 0; i < 300; i++) {
      const changed = Buffer.from(small);
      const at = random.below(i % 2 === 0 ? 2000 : changed.length);
      changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
      const outcome = await decode(changed).catch((error: unknown) => error);
      if (!Buffer.isBuffer(outcome)) expect(outcome).toBeInstanceOf(ImageError);
    }
  });
});
