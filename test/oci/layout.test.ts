import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ImageError, ImageNotFoundError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { blobPath, LayoutBuilder, sha256Of, TYPES, tagged, writeLayout } from "../support/layout-builder.js";
import { TarBuilder } from "../support/tar-builder.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder[Symbol.dispose]());

const open = (suffix = "") => openImage(`oci-layout:${folder.path}${suffix}`);

async function contentOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("an image in a layout", () => {
  it("is opened with its config and its layers in order", async () => {
    const layers = ["a", "b"].map((name) => new TarBuilder().file(name, name).finish());
    const builder = new LayoutBuilder();
    const manifest = builder.image({ layers, config: { config: { Cmd: ["/a"], Env: ["X=1"] } } });
    builder.root([manifest]).writeTo(folder.path);

    await using image = await open();
    expect(image.reference).toBe(`oci-layout:${folder.path}`);
    expect(image.manifestDigest).toBe(manifest.digest);
    expect(image.config).toMatchObject({ os: "linux", config: { Cmd: ["/a"], Env: ["X=1"] } });
    expect(image.layers).toMatchObject(
      layers.map((bytes) => ({
        digest: sha256Of(bytes),
        diffId: sha256Of(bytes),
        size: bytes.length,
        compression: "none",
      })),
    );
    for (const [i, layer] of image.layers.entries()) {
      expect(await contentOf(await layer.open())).toEqual(layers[i]);
    }
  });

  it("may have docker's media types", async () => {
    const layer = { bytes: Buffer.from("x"), mediaType: TYPES.dockerLayer };
    writeLayout(folder.path, { manifestType: TYPES.dockerManifest, configType: TYPES.dockerConfig, layers: [layer] });
    await using image = await open();
    expect(image.layers[0]).toMatchObject({ mediaType: TYPES.dockerLayer, compression: "gzip" });
  });

  it("may have no layers", async () => {
    writeLayout(folder.path, { layers: [] });
    await using image = await open();
    expect(image.layers).toEqual([]);
  });

  it("may have 10,000 empty layers", async () => {
    const empty = new TarBuilder().finish();
    writeLayout(folder.path, { layers: Array(10_000).fill(empty) });
    await using image = await open();
    expect(image.layers).toHaveLength(10_000);
  });

  it("may have a layer of no bytes, whose digest is nevertheless right", async () => {
    writeLayout(folder.path, { layers: [Buffer.alloc(0)] });
    await using image = await open();
    expect(await contentOf(await image.layers[0]!.open())).toHaveLength(0);
  });

  it("stops being read when the signal aborts", async () => {
    writeLayout(folder.path, { layers: [Buffer.alloc(4_000_000)] });
    await using image = await open();
    const abort = new AbortController();
    const stream = await image.layers[0]!.open(abort.signal);
    abort.abort();
    await expect(contentOf(stream)).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
    await expect(openImage(`oci-layout:${folder.path}`, { signal: abort.signal })).rejects.toThrow(/abort/);
  });
});

describe("a layout that is not what it should be", () => {
  it("is refused when it does not exist or is a file", async () => {
    writeFileSync(join(folder.path, "file"), "x");
    await expect(open("/absent")).rejects.toThrow(ImageNotFoundError);
    await expect(open("/absent")).rejects.toThrow(/there is no folder .*\/absent/);
    await expect(open("/file")).rejects.toThrow(/is not a folder[\s\S]*oci-archive:/);
  });

  it("is refused when it is an empty folder, or lacks one of its files", async () => {
    await expect(open()).rejects.toThrow(/neither index\.json nor manifest\.json/);
    writeLayout(folder.path);
    rmSync(join(folder.path, "oci-layout"));
    await expect(open()).rejects.toThrow(/has no file oci-layout/);
  });

  it.each<[string, (builder: LayoutBuilder) => void, RegExp]>([
    ["index.json is not JSON", (b) => b.replace("index.json", "{"), /index\.json in oci-layout:.* is not JSON/],
    [
      "oci-layout is of another version",
      (b) => b.replace("oci-layout", '{"imageLayoutVersion":"9"}'),
      /imageLayoutVersion/,
    ],
    ["index.json names nothing", (b) => b.root([]), /holds no image/],
    ["index.json is too large", (b) => b.replace("index.json", Buffer.alloc(5_000_000, " ")), /at most 4194304/],
  ])("is refused when %s", async (_what, change, reason) => {
    const builder = new LayoutBuilder();
    builder.root([builder.image()]);
    change(builder);
    builder.writeTo(folder.path);
    await expect(open()).rejects.toThrow(ImageError);
    await expect(open()).rejects.toThrow(reason);
  });

  it("names a blob that is missing, cut short or longer than it should be", async () => {
    const layer = new TarBuilder().file("a", "content").finish();
    writeLayout(folder.path, { layers: [layer] });
    const path = join(folder.path, blobPath(sha256Of(layer)));
    truncateSync(path, layer.length - 1);
    await expect(open()).rejects.toThrow(
      new RegExp(`layer ${sha256Of(layer)} has ${layer.length - 1} bytes instead of`),
    );
    truncateSync(path, layer.length + 1);
    await expect(open()).rejects.toThrow(/bytes instead of/);
    rmSync(path);
    await expect(open()).rejects.toThrow(ImageNotFoundError);
    await expect(open()).rejects.toThrow(new RegExp(`layer ${sha256Of(layer)} is missing`));
  });

  it.each(["manifest", "config"])("finds out that the %s was changed without its length", async (what) => {
    const builder = new LayoutBuilder();
    const manifest = builder.image();
    const document = JSON.parse(String(builder.files.get(blobPath(manifest.digest))));
    const path = blobPath(what === "manifest" ? manifest.digest : document.config.digest);
    const changed = String(builder.files.get(path)).replace("sha256:", "sha257:");
    builder.root([manifest]).replace(path, changed).writeTo(folder.path);
    await expect(open()).rejects.toThrow(
      new RegExp(`${what} sha256:\\w+ has the wrong content: its digest is sha256:`),
    );
  });

  it.each(["manifest", "config"])("refuses a %s whose descriptor gives another size", async (what) => {
    const builder = new LayoutBuilder();
    const config = builder.blob({ architecture: "amd64" }, TYPES.config);
    if (what === "config") config.size += 1;
    const manifest = builder.blob({ schemaVersion: 2, config, layers: [] }, TYPES.manifest);
    if (what === "manifest") manifest.size -= 1;
    builder.root([manifest]).writeTo(folder.path);
    await expect(open()).rejects.toThrow(new RegExp(`${what} .* bytes instead of`));
  });

  it("refuses a document that claims to be larger than documents are, without reading it", async () => {
    const builder = new LayoutBuilder();
    const manifest = { ...builder.image(), size: 5 * 1024 ** 3 };
    builder.root([manifest]).writeTo(folder.path);
    await expect(open()).rejects.toThrow(/manifest .* has 5368709120 bytes; at most/);
  });
});

describe("a layout with links in it", () => {
  const secret = "/etc/passwd";

  it("is read when they stay inside", async () => {
    const builder = writeLayout(folder.path);
    const blobs = join(folder.path, "blobs");
    renameSync(blobs, join(folder.path, "shared"));
    symlinkSync("shared", blobs);
    await using image = await open();
    expect(image.layers).toHaveLength(1);
    expect(builder.files.size).toBeGreaterThan(3);
  });

  it.each(["index.json", "oci-layout"])("is refused when %s leads out", async (file) => {
    writeLayout(folder.path);
    rmSync(join(folder.path, file));
    symlinkSync(secret, join(folder.path, file));
    await expect(open()).rejects.toThrow(/symbolic link that leads out of the folder/);
  });

  it("is refused when a blob or the folder of blobs leads out", async () => {
    const layer = new TarBuilder().file("a", "content").finish();
    writeLayout(folder.path, { layers: [layer] });
    const path = join(folder.path, blobPath(sha256Of(layer)));
    rmSync(path);
    symlinkSync(secret, path);
    await expect(open()).rejects.toThrow(/symbolic link that leads out of the folder/);

    using elsewhere = temporaryFolder();
    renameSync(join(folder.path, "blobs"), join(elsewhere.path, "blobs"));
    symlinkSync(join(elsewhere.path, "blobs"), join(folder.path, "blobs"));
    await expect(open()).rejects.toThrow(/symbolic link that leads out of the folder/);
  });

  it("is refused when a neighbour's name begins like its own", async () => {
    const [inside, beside] = [join(folder.path, "image"), join(folder.path, "image-2")];
    mkdirSync(inside);
    mkdirSync(beside);
    const builder = writeLayout(inside);
    rmSync(join(inside, "index.json"));
    builder.writeTo(beside);
    symlinkSync("../image-2/index.json", join(inside, "index.json"));
    await expect(open("/image")).rejects.toThrow(/leads out of the folder/);
  });

  it("is refused without waiting when a file is a pipe, a folder or a loop", async () => {
    writeLayout(folder.path);
    const index = join(folder.path, "index.json");
    rmSync(index);
    execFileSync("mkfifo", [index]);
    await expect(open()).rejects.toThrow(/is not a regular file/);
    rmSync(index);
    mkdirSync(index);
    await expect(open()).rejects.toThrow(/is not a regular file/);
    rmSync(index, { recursive: true });
    symlinkSync("index.json", index);
    await expect(open()).rejects.toThrow(/index\.json .* cannot be read/);
  });
});

describe("digests that are no file names", () => {
  it.each(["sha256:../../../../etc/passwd", "sha256:x", "../x:y"])("are refused: %s", async (digest) => {
    const builder = new LayoutBuilder();
    builder.root([{ ...builder.image(), digest }]).writeTo(folder.path);
    await expect(open()).rejects.toThrow(/digest: is not a digest/);
  });

  it("are refused where nobody can verify them", async () => {
    const builder = new LayoutBuilder();
    builder.root([{ ...builder.image(), digest: "md5:d41d8cd98f00b204e9800998ecf8427e" }]).writeTo(folder.path);
    await expect(open()).rejects.toThrow(/cannot be verified/);
    await expect(open("@sha256:../../x")).rejects.toThrow(ImageError);
  });

  it("do not matter in entries that are not wanted", async () => {
    const builder = new LayoutBuilder();
    const wanted = builder.image({}, tagged("a"));
    builder.root([{ ...wanted, ...tagged("b"), digest: "blake3:00ff" }, wanted]).writeTo(folder.path);
    await using image = await open(":a");
    expect(image.manifestDigest).toBe(wanted.digest);
    await expect(open(":b")).rejects.toThrow(/blake3:00ff cannot be verified/);
  });
});
