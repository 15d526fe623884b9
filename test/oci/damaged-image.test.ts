import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ImageError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { HOST_ARCHITECTURE, LayoutBuilder, sha256Of } from "../support/layout-builder.js";
import { randomFrom } from "../support/random.js";
import { TarBuilder } from "../support/tar-builder.js";

const ROUNDS = 400;

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", join(folder.path, "home"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

function layoutArchive(): Buffer {
  const builder = new LayoutBuilder();
  const image = builder.image({ layers: [Buffer.from("one"), Buffer.from("two")] });
  return builder.root([builder.index([image])]).toTar();
}

function savedArchive(): Buffer {
  const layer = Buffer.from("layer");
  const rootfs = { type: "layers", diff_ids: [sha256Of(layer)] };
  const config = JSON.stringify({ architecture: HOST_ARCHITECTURE, os: "linux", rootfs });
  const manifest = [{ Config: `${sha256Of(config).slice(7)}.json`, RepoTags: ["x:1"], Layers: ["a/layer.tar"] }];
  const tar = new TarBuilder().file("real", layer).symlink("a/layer.tar", "../real").pax({ path: manifest[0]!.Config });
  return tar.file("config", config).file("manifest.json", JSON.stringify(manifest)).finish();
}

/** What opening ends with: an image's layer digests, or an error. */
async function outcome(archive: Buffer): Promise<string[] | Error> {
  writeFileSync(join(folder.path, "image.tar"), archive);
  try {
    await using image = await openImage(`oci-archive:${folder.path}/image.tar`);
    return image.layers.map((layer) => layer.digest);
  } catch (error) {
    return error as Error;
  }
}

describe.each([
  ["a layout", layoutArchive],
  ["docker save", savedArchive],
])("an archive of %s that was changed at random", (_what, make) => {
  it("either is the same image or is refused with a typed error", async () => {
    const random = randomFrom(20_240_607).below;
    const whole = make();
    const expected = await outcome(whole);
    expect(expected).toBeInstanceOf(Array);
    for (let round = 0; round < ROUNDS; round++) {
      const changed = Buffer.from(whole);
      for (let i = 0; i <= round % 3; i++) changed[random(changed.length)] = random(256);
      const cut = round % 5 === 0 ? changed.subarray(0, random(changed.length)) : changed;
      const result = await outcome(cut);
      if (result instanceof Error) expect(result, `round ${round}: ${result.stack}`).toBeInstanceOf(ImageError);
      else expect(result).toEqual(expected);
    }
  });
});
