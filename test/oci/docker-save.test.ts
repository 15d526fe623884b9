import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ImageNotFoundError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { HOST_ARCHITECTURE, LayoutBuilder, sha256Of, TYPES } from "../support/layout-builder.js";
import { TarBuilder } from "../support/tar-builder.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder[Symbol.dispose]());

const layers = ["a", "b"].map((name) => new TarBuilder().file(name, name.repeat(1000)).finish());
const EMPTY = new TarBuilder().finish();

function configOf(tars: Buffer[], more: object = {}): Buffer {
  const rootfs = { type: "layers", diff_ids: tars.map((tar) => sha256Of(tar)) };
  return Buffer.from(JSON.stringify({ architecture: HOST_ARCHITECTURE, os: "linux", config: {}, rootfs, ...more }));
}

interface Saved {
  Config: string;
  RepoTags: string[] | null;
  Layers: string[];
}

/** Adds an image as docker did before version 25: a folder per layer, the config beside them. */
function addOld(tar: TarBuilder, tags: string[] | null, tars = layers, config = configOf(tars)): Saved {
  const Config = `${sha256Of(config).slice(7)}.json`;
  const Layers = tars.map((_, i) => `${sha256Of(config).slice(7, 40)}${i}/layer.tar`);
  for (const [i, path] of Layers.entries()) tar.file(path, tars[i]);
  tar.file(Config, config);
  return { Config, RepoTags: tags, Layers };
}

async function open(tar: TarBuilder, manifest: unknown, suffix = "") {
  const path = join(folder.path, "saved.tar");
  writeFileSync(path, tar.file("manifest.json", JSON.stringify(manifest)).finish());
  return openImage(`oci-archive:${path}${suffix}`);
}

async function digestOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return sha256Of(Buffer.concat(chunks));
}

describe("an archive of docker save", () => {
  it("is opened by its layers' diff ids, which are their digests", async () => {
    const tar = new TarBuilder();
    await using image = await open(tar, [addOld(tar, ["example/x:1"])]);
    expect(image.configDigest).toBe(sha256Of(configOf(layers)));
    expect(image.layers.map(({ digest, diffId }) => [digest, diffId])).toEqual(
      layers.map((bytes) => [sha256Of(bytes), sha256Of(bytes)]),
    );
    expect(await digestOf(await image.layers[1]!.open())).toBe(sha256Of(layers[1]!));
  });

  it("has the same manifest digest wherever its files are", async () => {
    const first = new TarBuilder();
    await using image = await open(first, [addOld(first, ["x:1"])]);
    const second = new TarBuilder().file("c.json", configOf(layers)).file("1.tar", layers[0]).file("2.tar", layers[1]);
    await using moved = await open(second, [{ Config: "c.json", RepoTags: null, Layers: ["1.tar", "2.tar"] }]);
    expect(moved.manifestDigest).toBe(image.manifestDigest);
  });

  it("may have links for layers that occur twice", async () => {
    const config = configOf([EMPTY, EMPTY]);
    const tar = new TarBuilder()
      .file("c.json", config)
      .file("a/layer.tar", EMPTY)
      .symlink("b/layer.tar", "../a/layer.tar");
    await using image = await open(tar, [{ Config: "c.json", RepoTags: null, Layers: ["a/layer.tar", "b/layer.tar"] }]);
    expect(image.layers.map(({ digest }) => digest)).toEqual([sha256Of(EMPTY), sha256Of(EMPTY)]);
  });

  it("may have compressed layers, as other tools write", async () => {
    const packed = gzipSync(layers[0]!);
    const tar = new TarBuilder().file("c.json", configOf([layers[0]!])).file("l.tar.gz", packed);
    await using image = await open(tar, [{ Config: "c.json", RepoTags: ["x:1"], Layers: ["l.tar.gz"] }]);
    const expected = {
      digest: sha256Of(packed),
      size: packed.length,
      compression: "gzip",
      diffId: sha256Of(layers[0]!),
    };
    expect(image.layers).toMatchObject([expected]);
    expect(await digestOf(await image.layers[0]!.open())).toBe(sha256Of(packed));
  });

  it("may have 10,000 empty layers", async () => {
    const tar = new TarBuilder().file("c.json", configOf(Array(10_000).fill(EMPTY))).file("l", EMPTY);
    await using image = await open(tar, [{ Config: "c.json", RepoTags: null, Layers: Array(10_000).fill("l") }]);
    expect(image.layers).toHaveLength(10_000);
  });

  it("is read as a layout when it is one too, as docker 25 and later write it", async () => {
    const builder = new LayoutBuilder();
    const config = configOf(layers);
    const manifest = builder.image({ layers });
    const annotations = {
      "io.containerd.image.name": "docker.io/library/x:1",
      "org.opencontainers.image.ref.name": "1",
    };
    builder.root([{ ...manifest, annotations }]);
    const blob = (bytes: Buffer) => builder.blob(bytes, TYPES.layer).digest.replace(":", "/");
    const Layers = layers.map((bytes) => `blobs/${blob(bytes)}`);
    builder.replace("manifest.json", [{ Config: `blobs/${blob(config)}`, RepoTags: ["x:1"], Layers }]);
    writeFileSync(join(folder.path, "new.tar"), builder.toTar());
    await using image = await openImage(`oci-archive:${folder.path}/new.tar:x:1`);
    expect(image.manifestDigest).toBe(manifest.digest);

    builder.remove("index.json").remove("oci-layout");
    writeFileSync(join(folder.path, "old.tar"), builder.toTar());
    await using old = await openImage(`oci-archive:${folder.path}/old.tar:x:1`);
    expect(old.configDigest).toBe(image.configDigest);
  });
});

describe("an archive of several images", () => {
  it("needs a tag, and lists them", async () => {
    const tar = new TarBuilder();
    const other = configOf(layers, { author: "other" });
    const saved = [addOld(tar, ["x:1", "x:latest"]), addOld(tar, ["example/y:2"], layers, other)];
    await expect(open(tar, saved)).rejects.toThrow(/holds several images[\s\S]*x:1, example\/y:2/);
    for (const tag of ["2", "example/y:2", "docker.io/example/y:2"]) {
      await using image = await open(new TarBuilder().raw(tar.unfinished()), saved, `:${tag}`);
      expect(image.configDigest).toBe(sha256Of(other));
    }
    for (const tag of ["1", "latest", "x"]) {
      await using image = await open(new TarBuilder().raw(tar.unfinished()), saved, `:${tag}`);
      expect(image.configDigest).toBe(sha256Of(configOf(layers)));
    }
    await expect(open(tar, saved, ":3")).rejects.toThrow(ImageNotFoundError);
  });

  it("tells images without a tag apart by their configs", async () => {
    const tar = new TarBuilder();
    const saved = [addOld(tar, null), addOld(tar, null, layers, configOf(layers, { author: "other" }))];
    await expect(open(tar, saved)).rejects.toThrow(saved[1]!.Config);
    await using image = await open(new TarBuilder().raw(tar.unfinished()), saved, `:${saved[1]!.Config}`);
    expect(image.config.author).toBe("other");
  });
});

describe("an archive of docker save that is wrong", () => {
  it.each<[string, (saved: Saved) => unknown, RegExp]>([
    ["names no image", () => [], /holds no image/],
    ["is a map", () => ({}), /manifest\.json in .* is malformed/],
    ["names a config that is missing", (saved) => [{ ...saved, Config: "absent" }], /has no file absent/],
    ["names a config outside", (saved) => [{ ...saved, Config: "../../../etc/passwd" }], /has no file \.\.\/\.\.\//],
    [
      "names a config by an absolute path",
      (saved) => [{ ...saved, Config: "/etc/passwd" }],
      /has no file \/etc\/passwd/,
    ],
    ["names a layer that is missing", (saved) => [{ ...saved, Layers: ["a", "b"] }], /the layer a is missing/],
    [
      "names fewer layers than the config",
      (saved) => [{ ...saved, Layers: [saved.Layers[0]] }],
      /1 layers, but its config has 2/,
    ],
    ["is for another architecture", (saved) => [saved], /is for linux\/mips64/],
  ])("is refused when manifest.json %s", async (what, change, reason) => {
    const tar = new TarBuilder();
    const config = configOf(layers, what.includes("architecture") ? { architecture: "mips64" } : {});
    await expect(open(tar, change(addOld(tar, ["x:1"], layers, config)))).rejects.toThrow(reason);
  });

  it("is refused when the config is not what its name says", async () => {
    const tar = new TarBuilder();
    const saved = addOld(tar, null);
    tar.file(saved.Config, configOf(layers, { author: "someone else" }));
    await expect(open(tar, [saved])).rejects.toThrow(/the config .* has the wrong content/);
  });

  it("is refused when a digest is asked for that it cannot have", async () => {
    const tar = new TarBuilder();
    const digest = `sha256:${"0".repeat(64)}`;
    await expect(open(tar, [addOld(tar, ["x:1"])], `@${digest}`)).rejects.toThrow(/name its image by tag/);
  });
});
