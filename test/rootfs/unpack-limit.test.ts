import { existsSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ImageError, UsageError } from "../../src/errors.js";
import { convertLayer } from "../../src/rootfs/index.js";
import { unpackLimit } from "../../src/rootfs/layer/unpack-limit.js";
import { inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";

const GIB = 1024 ** 3;

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("how much a layer may unpack to", () => {
  it.each([
    [undefined, undefined, 4 * GIB],
    [0, undefined, 4 * GIB],
    [1_000_000, undefined, 4 * GIB],
    [GIB, undefined, 100 * GIB],
    [GIB, "", 100 * GIB],
    [GIB, "7", 7 * 1024 ** 2],
    [1, "1000000", 1_000_000 * 1024 ** 2],
  ])("is for %j bytes and the setting %j %i", (size, setting, expected) => {
    expect(unpackLimit(size, { SUPERMACHINE_MAX_LAYER_MIB: setting })).toBe(expected);
  });

  it.each(["0", "-1", "4G", "1.5", " 1", "99999999999"])("is not %j", (setting) => {
    expect(() => unpackLimit(1, { SUPERMACHINE_MAX_LAYER_MIB: setting })).toThrow(UsageError);
  });

  it("is kept, and nothing is left of a layer with more", async () => {
    const archive = new TarBuilder().file("zeros", Buffer.alloc(2 * 1024 ** 2)).finish();
    const blob = gzipSync(archive);
    using folder = temporaryFolder();
    const output = join(folder.path, "image");
    const options = { blobDigest: sha256(blob), diffId: sha256(archive), blobSize: blob.length, output };
    vi.stubEnv("SUPERMACHINE_MAX_LAYER_MIB", "2");
    const converting = convertLayer(inPieces(blob), options);
    await expect(converting).rejects.toThrow(ImageError);
    await expect(converting).rejects.toThrow(`more than 2 MiB from ${blob.length} bytes`);
    expect(existsSync(output)).toBe(false);
    vi.stubEnv("SUPERMACHINE_MAX_LAYER_MIB", "3");
    await convertLayer(inPieces(blob), options);
    expect(existsSync(output)).toBe(true);
  });
});
