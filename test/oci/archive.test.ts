import { execFileSync } from "node:child_process";
import { readdirSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ImageError, ImageNotFoundError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { LayoutBuilder, sha256Of, tagged } from "../support/layout-builder.js";
import { TarBuilder } from "../support/tar-builder.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", join(folder.path, "home"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

const layer = new TarBuilder().file("hello", "hello".repeat(200_000)).finish();

function write(content: Buffer, name = "image.tar"): string {
  writeFileSync(join(folder.path, name), content);
  return `oci-archive:${join(folder.path, name)}`;
}

function build(): { builder: LayoutBuilder; digest: string } {
  const builder = new LayoutBuilder();
  const manifest = builder.image({ layers: [layer] }, tagged("v1"));
  return { builder: builder.root([manifest]), digest: manifest.digest };
}

async function digestOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return sha256Of(Buffer.concat(chunks));
}

describe("an archive of a layout", () => {
  it.each(["", "./"])("is read in place when names begin with %j", async (prefix) => {
    const { builder, digest } = build();
    await using image = await openImage(`${write(builder.toTar(prefix))}:v1`);
    expect(image.manifestDigest).toBe(digest);
    expect(await digestOf(await image.layers[0]!.open())).toBe(sha256Of(layer));
    expect(readdirSync(folder.path)).toEqual(["image.tar"]);
  });

  it("gives its layers to several readers at the same time", async () => {
    await using image = await openImage(write(build().builder.toTar()));
    const readers = Array.from({ length: 20 }, async () => digestOf(await image.layers[0]!.open()));
    expect(new Set(await Promise.all(readers))).toEqual(new Set([sha256Of(layer)]));
  });

  it("may be deep in odd folders, colons and all", async () => {
    await using image = await openImage(write(build().builder.toTar(), "a:b c:d.tar"));
    expect(image.layers).toHaveLength(1);
  });

  it("lists its tags like a layout", async () => {
    await expect(openImage(`${write(build().builder.toTar())}:v2`)).rejects.toThrow(/there is no image v2[\s\S]*: v1/);
  });
});

describe("a compressed archive", () => {
  it("is unpacked once, and again when it was replaced", async () => {
    const { builder } = build();
    const source = write(gzipSync(builder.toTar()), "image.tar.gz");
    const unpacked = () => readdirSync(join(folder.path, "home/blobs/archives"));
    const images = await Promise.all([openImage(source), openImage(source)]);
    expect(unpacked()).toHaveLength(1);
    for (const image of images) {
      expect(await digestOf(await image.layers[0]!.open())).toBe(sha256Of(layer));
      await image[Symbol.asyncDispose]();
    }
    const before = unpacked();
    await (await openImage(source))[Symbol.asyncDispose]();
    expect(unpacked()).toEqual(before);
    utimesSync(join(folder.path, "image.tar.gz"), 1, 1);
    await using _again = await openImage(source);
    expect(unpacked()).toHaveLength(1);
    expect(unpacked()).not.toEqual(before);
  });

  it("leaves nothing behind when it is damaged", async () => {
    const packed = gzipSync(build().builder.toTar());
    await expect(openImage(write(packed.subarray(0, -100)))).rejects.toThrow(
      /cannot be unpacked: unexpected end of file/,
    );
    packed.fill(0, 200, 300);
    await expect(openImage(write(packed))).rejects.toThrow(ImageError);
    expect(readdirSync(join(folder.path, "home/blobs/archives"))).toEqual([]);
  });

  it("is refused, with the command that helps, when packed by something else than gzip", async () => {
    const tar = build().builder.toTar();
    const zstd = execFileSync("zstd", ["-q", "-c"], { input: tar });
    await expect(openImage(write(zstd))).rejects.toThrow(/packed by zstd[\s\S]*"zstd -d"/);
    await expect(openImage(write(Buffer.from("\xfd7zXZ\0", "latin1")))).rejects.toThrow(/"xz -d"/);
    await expect(openImage(write(Buffer.from("BZh91AY")))).rejects.toThrow(/"bzip2 -d"/);
  });
});

describe("an archive that cannot be used", () => {
  it("is refused when it does not exist, is a folder or a device", async () => {
    const absent = `oci-archive:${folder.path}/absent.tar`;
    await expect(openImage(absent)).rejects.toThrow(ImageNotFoundError);
    await expect(openImage(absent)).rejects.toThrow(/there is no file .*absent\.tar/);
    await expect(openImage(`oci-archive:${folder.path}`)).rejects.toThrow(/is a folder[\s\S]*oci-layout:/);
    await expect(openImage("oci-archive:/dev/null")).rejects.toThrow(/is not a regular file[\s\S]*save it to a file/);
  });

  it("is refused when it is empty or something else", async () => {
    await expect(openImage(write(Buffer.alloc(0)))).rejects.toThrow(/is empty/);
    await expect(openImage(write(Buffer.from("#!/bin/sh\n".repeat(100))))).rejects.toThrow(/is not a tar archive/);
    const other = new TarBuilder().file("readme", "x").finish();
    await expect(openImage(write(other))).rejects.toThrow(/neither index\.json nor manifest\.json/);
  });

  it("is refused when it was cut in the middle of a layer", async () => {
    const tar = build().builder.toTar();
    const source = write(tar);
    truncateSync(join(folder.path, "image.tar"), tar.length / 2);
    await expect(openImage(source)).rejects.toThrow(/is truncated: the entry at byte \d+ goes beyond/);
  });

  it("names the blob that is missing when it was cut between entries", async () => {
    const { builder } = build();
    builder.remove(`blobs/sha256/${sha256Of(layer).slice(7)}`);
    await expect(openImage(write(builder.toTar()))).rejects.toThrow(new RegExp(`layer ${sha256Of(layer)} is missing`));
  });

  it("fails the reader when it becomes shorter while it is read", async () => {
    const { builder } = build();
    const path = join(folder.path, "image.tar");
    await using image = await openImage(write(builder.toTar()));
    truncateSync(path, 3_000);
    await expect(digestOf(await image.layers[0]!.open())).rejects.toThrow(/became shorter while it was read/);
  });

  it("is refused when a link in it leads out", async () => {
    const { builder } = build();
    const tar = builder.remove("index.json").toTar().subarray(0, -1024);
    const links = new TarBuilder().symlink("index.json", "/etc/passwd").finish();
    await expect(openImage(write(Buffer.concat([tar, links])))).rejects.toThrow(/leads out of the archive/);
  });
});
