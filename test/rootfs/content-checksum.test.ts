import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ContentChecksum, plainCrc } from "../../src/rootfs/erofs/content-checksum.js";
import { convertLayer, verifyImage } from "../../src/rootfs/index.js";
import { inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { randomFrom } from "../support/random.js";
import { TarBuilder } from "../support/tar-builder.js";

/** Every way that bytes come into an image: small and large files, holes, hard links made late, attributes, many directories. */
function archive(): Buffer {
  const tar = new TarBuilder();
  for (let i = 0; i < 300; i++) tar.file(`folder-${i % 40}/file-${i}`, "x".repeat((i * 37) % 9000));
  tar.file("large", Buffer.alloc(3_000_000, "large file "));
  tar.file("holes", Buffer.concat([Buffer.alloc(65_536, 1), Buffer.alloc(2 * 65_536), Buffer.alloc(70_000, 2)]));
  for (let i = 0; i < 20; i++) tar.hardLink(`links/${i}`, `folder-${i}/file-${i}`);
  return tar.finish();
}

async function convert(folder: string, bytes: Buffer): Promise<string> {
  const output = join(folder, "layer.erofs");
  await convertLayer(inPieces(bytes), { blobDigest: sha256(bytes), diffId: sha256(bytes), output });
  return output;
}

describe("the checksum of a file that is written in any order", () => {
  test("is that of the file as a whole", () => {
    const random = randomFrom(7);
    for (let round = 0; round < 50; round++) {
      const size = 1 + random.below(5000);
      const file = Buffer.alloc(size);
      const checksum = new ContentChecksum();
      const cuts = Array.from({ length: 6 }, () => random.below(size)).sort((a, b) => a - b);
      const pieces = [0, ...cuts].map((start, i) => [start, cuts[i] ?? size] as const);
      for (const [start, end] of pieces.sort(() => random.below(3) - 1)) {
        // Some are never written.
        if (random.below(10) < 3) continue;
        for (let at = start; at < end; at++) file[at] = random.below(256);
        checksum.add(start, file.subarray(start, end));
      }
      expect(checksum.of(size)).toBe(plainCrc(file, 0));
    }
  });

  test("knows files of terabytes", () => {
    const checksum = new ContentChecksum();
    checksum.add(0, Buffer.from("a"));
    const far = checksum.of(2 ** 43);
    checksum.add(2 ** 43 - 1, Buffer.alloc(1));
    expect(checksum.of(2 ** 43)).toBe(far);
    expect(far).not.toBe(checksum.of(2 ** 43 + 1));
  });
});

describe("an image is verified", () => {
  test("as intact, with progress to its end", async () => {
    using folder = temporaryFolder();
    const path = await convert(folder.path, archive());
    const seen: number[] = [];
    let total = 0;
    const onProgress = (done: number, all: number) => {
      seen.push(done);
      total = all;
    };
    expect(await verifyImage(path, { onProgress })).toBeUndefined();
    expect(seen.at(-1)).toBe(total);
  });

  test("an empty one too", async () => {
    using folder = temporaryFolder();
    expect(await verifyImage(await convert(folder.path, new TarBuilder().finish()))).toBeUndefined();
  });

  test("as corrupt wherever a bit differs", async () => {
    using folder = temporaryFolder();
    const path = await convert(folder.path, archive());
    const { length } = readFileSync(path);
    const random = randomFrom(1);
    const places = Array.from({ length: 20 }, () => 4096 + random.below(length - 4096));
    for (const at of [9, 1030, 1200, 4095, 4096, length - 1, ...places]) {
      const copy = join(folder.path, "copy");
      const bytes = readFileSync(path);
      bytes[at] = (bytes[at] ?? 0) ^ 4;
      writeFileSync(copy, bytes);
      expect(await verifyImage(copy), `byte ${at}`).toMatch(/damaged|corrupt/);
    }
  });

  test("as truncated or something else", async () => {
    using folder = temporaryFolder();
    const path = await convert(folder.path, archive());
    truncateSync(path, 8192);
    expect(await verifyImage(path)).toMatch(/has 8192 bytes instead of \d+/);
    writeFileSync(path, "something else");
    expect(await verifyImage(path)).toMatch(/first block/);
  });

  test("no longer than the signal allows", async () => {
    using folder = temporaryFolder();
    const path = await convert(folder.path, archive());
    await expect(verifyImage(path, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });
});
