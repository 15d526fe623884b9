import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ImageError, ImageNotFoundError } from "../../src/errors.js";
import { listPlatforms, openImage, type Platform } from "../../src/oci/index.js";
import { hostPlatform, suitability } from "../../src/oci/platform.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { LayoutBuilder, REF_NAME, type TestDescriptor, TYPES, tagged } from "../support/layout-builder.js";

let folder: ReturnType<typeof temporaryFolder>;
let builder: LayoutBuilder;
beforeEach(() => {
  folder = temporaryFolder();
  builder = new LayoutBuilder();
});
afterEach(() => folder[Symbol.dispose]());

/** An image that can be told from others by its label. */
function imageFor(architecture: string, extra: Partial<TestDescriptor> = {}, label = architecture): TestDescriptor {
  return builder.image({ config: { architecture, config: { Labels: { label } } } }, extra);
}

function forPlatform(architecture: string, variant?: string): TestDescriptor {
  const platform = { os: "linux", architecture, ...(variant && { variant }) };
  return imageFor(architecture, { platform }, architecture + (variant ?? ""));
}

async function labelOf(suffix = "", platform?: Platform): Promise<string | undefined> {
  builder.writeTo(folder.path);
  await using image = await openImage(`oci-layout:${folder.path}${suffix}`, platform ? { platform } : {});
  return image.config.config.Labels?.label;
}

const host = hostPlatform().architecture;
const other = host === "amd64" ? "arm64" : "amd64";
const linux = (architecture: string, variant?: string): Platform => ({ os: "linux", architecture, variant });

describe("choosing by name", () => {
  it("needs a tag when there are several images, and lists the tags", async () => {
    builder.root([imageFor(host, tagged("a")), imageFor(host, tagged("b"), "b")]);
    await expect(labelOf()).rejects.toThrow(/holds several images[\s\S]*after a colon: a, b/);
    await expect(labelOf()).rejects.toThrow(ImageError);
    expect(await labelOf(":b")).toBe("b");
  });

  it("says which tags there are when the wanted one is absent", async () => {
    builder.root([imageFor(host, tagged("a"))]);
    await expect(labelOf(":c")).rejects.toThrow(ImageNotFoundError);
    await expect(labelOf(":c")).rejects.toThrow(/there is no image c[\s\S]*after a colon: a/);
  });

  it("shows tags without what could control a terminal", async () => {
    builder.root([imageFor(host, tagged("\x1b]0;owned\x07")), imageFor(host, tagged("b\r\n"), "b")]);
    await expect(labelOf()).rejects.toThrow(/: \?\]0;owned\?, b\?\?$/);
  });

  it("does not list more tags than one can read", async () => {
    builder.root(Array.from({ length: 100 }, (_, i) => imageFor(host, tagged(`tag${i}`))));
    await expect(labelOf()).rejects.toThrow(/tag29, and 70 more/);
  });

  it.each(["docker.io/library/alpine:3.20", "alpine:3.20", "3.20"])("finds a full name by %s", async (name) => {
    const full = { "io.containerd.image.name": "docker.io/library/alpine:3.20", [REF_NAME]: "3.20" };
    builder.root([imageFor(host, { annotations: full }), imageFor(host, tagged("other"), "other")]);
    expect(await labelOf(`:${name}`)).toBe(host);
  });

  it("does not guess between two repositories with the same tag", async () => {
    const named = (name: string) => ({
      annotations: { "io.containerd.image.name": `docker.io/library/${name}:latest`, [REF_NAME]: "latest" },
    });
    builder.root([imageFor(host, named("a")), imageFor(host, named("b"), "b")]);
    await expect(labelOf(":latest")).rejects.toThrow(
      /several images with the tag latest[\s\S]*library\/a:latest, docker/,
    );
    expect(await labelOf(":b")).toBe("b");
  });

  it("takes the digest of an entry, of a nested manifest, and of both with a tag", async () => {
    const [nested, plain] = [forPlatform(host), imageFor(host, tagged("plain"), "plain")];
    builder.root([builder.index([nested], tagged("index")), plain]);
    expect(await labelOf(`@${plain.digest}`)).toBe("plain");
    expect(await labelOf(`@${nested.digest}`)).toBe(host);
    expect(await labelOf(`:plain@${plain.digest}`)).toBe("plain");
    await expect(labelOf(`:index@${plain.digest}`)).rejects.toThrow(/has not the digest/);
    await expect(labelOf(`@sha256:${"0".repeat(64)}`)).rejects.toThrow(/there is no manifest sha256:0/);
  });

  it("refuses a digest that names a layer", async () => {
    const layer = builder.blob("not a document", TYPES.layer);
    builder.root([imageFor(host)]);
    await expect(labelOf(`@${layer.digest}`)).rejects.toThrow(/is not JSON/);
  });

  it("ignores artifacts and attestations beside the image", async () => {
    builder.root([
      imageFor(host),
      builder.blob({}, TYPES.manifest, { artifactType: "application/vnd.example.signature" }),
      builder.blob({}, TYPES.manifest, { platform: { os: "unknown", architecture: "unknown" } }),
    ]);
    expect(await labelOf()).toBe(host);
  });
});

describe("choosing by platform", () => {
  it("takes this machine's from an index, and another when asked", async () => {
    builder.root([builder.index([forPlatform(other), forPlatform(host)])]);
    expect(await labelOf()).toBe(host);
    expect(await labelOf("", linux(other))).toBe(other);
  });

  it("reads docker's manifest list as well", async () => {
    builder.root([builder.index([forPlatform(other), forPlatform(host)], {}, TYPES.dockerList)]);
    expect(await labelOf()).toBe(host);
  });

  it("takes the platform of entries that share one name", async () => {
    const shared = (architecture: string) => ({ ...forPlatform(architecture), ...tagged("v1") });
    builder.root([shared(other), shared(host)]);
    expect(await labelOf()).toBe(host);
    expect(await labelOf(":v1", linux(other))).toBe(other);
  });

  it("asks the config of entries that do not tell their platform", async () => {
    builder.root([imageFor(other), imageFor(host)]);
    expect(await labelOf()).toBe(host);
    builder.root([builder.index([imageFor(other), imageFor(host)])]);
    expect(await labelOf()).toBe(host);
  });

  it("names both platforms when an image is for another one", async () => {
    builder.root([imageFor(other)]);
    await expect(labelOf()).rejects.toThrow(new RegExp(`is for linux/${other}, not for linux/${host}`));
    builder.root([builder.index([forPlatform(other), forPlatform("s390x")])]);
    await expect(labelOf()).rejects.toThrow(new RegExp(`is for linux/${other}, linux/s390x, not for linux/${host}`));
  });

  it("believes the config, not what an index says of it", async () => {
    const lying = { ...imageFor(other), platform: { os: "linux", architecture: host } };
    builder.root([builder.index([lying, forPlatform("s390x")])]);
    await expect(labelOf()).rejects.toThrow(new RegExp(`is for linux/${other}, not`));
  });

  it("refuses another operating system", async () => {
    builder.root([builder.image({ config: { os: "windows" } })]);
    await expect(labelOf()).rejects.toThrow(/is for windows\//);
  });

  it("does not guess between two untagged images for one platform", async () => {
    const [a, b] = [imageFor(host), imageFor(host, {}, "b")];
    builder.root([a, b]);
    await expect(labelOf()).rejects.toThrow(
      new RegExp(`several images for linux/${host}[\\s\\S]*@${a.digest} or @${b.digest}`),
    );
    builder.root([a, a]);
    expect(await labelOf()).toBe(host);
    builder.root([builder.index([a, b])]);
    expect(await labelOf()).toBe(host);
  });

  it("ignores attestations in an index, whatever they call themselves", async () => {
    const attestation = builder.blob({ not: "an image" }, TYPES.manifest);
    const annotations = { "vnd.docker.reference.type": "attestation-manifest" };
    builder.root([
      builder.index([
        { ...attestation, platform: { os: "unknown", architecture: "unknown" } },
        { ...attestation, platform: { os: "linux", architecture: host }, annotations },
        forPlatform(host),
      ]),
    ]);
    expect(await labelOf()).toBe(host);
  });

  it("takes what the kernel runs as well where there is nothing better", async () => {
    builder.root([builder.index([forPlatform("386"), forPlatform("amd64", "v2"), forPlatform("s390x")])]);
    expect(await labelOf("", linux("amd64"))).toBe("386");
    expect(await labelOf("", linux("amd64", "v2"))).toBe("amd64v2");
    builder.root([imageFor("386")]);
    expect(await labelOf("", linux("amd64"))).toBe("386");
  });

  it("tells all platforms that there are", async () => {
    builder.root([builder.index([forPlatform("arm", "v7"), forPlatform("s390x")])]).writeTo(folder.path);
    await using image = await openImage(`oci-layout:${folder.path}`, { platform: linux("s390x") });
    expect(listPlatforms(image.platforms)).toBe("linux/arm/v7, linux/s390x");
  });

  it("takes the best variant that the processor runs", async () => {
    builder.root([builder.index([forPlatform("arm", "v5"), forPlatform("arm", "v7"), forPlatform("arm", "v6")])]);
    expect(await labelOf("", linux("arm", "v6"))).toBe("armv6");
    expect(await labelOf("", linux("arm"))).toBe("armv7");
    await expect(labelOf("", linux("arm", "v4"))).rejects.toThrow(/is for linux\/arm\/v5, .* not for linux\/arm\/v4/);
  });
});

describe("suitability", () => {
  it.each<[string, Platform, Platform, number | undefined]>([
    ["the same", linux("amd64"), linux("amd64"), 1],
    ["a newer amd64 level", linux("amd64", "v3"), linux("amd64"), undefined],
    ["an older amd64 level", linux("amd64", "v2"), linux("amd64", "v3"), 2],
    ["arm64 with its usual variant", linux("arm64", "v8"), linux("arm64"), 8],
    ["arm64 with a newer variant", linux("arm64", "v8.2"), linux("arm64"), undefined],
    ["a name that means the same", linux("x86_64"), linux("amd64"), 1],
    ["another name that means the same", linux("aarch64"), linux("arm64"), 8],
    ["a variant that is no level", linux("amd64", "fast"), linux("amd64"), undefined],
    ["the same variant that is no level", linux("mips", "r6"), linux("mips", "r6"), 0],
    ["what the kernel runs as well", linux("386"), linux("amd64"), -1],
    ["what needs another kernel", linux("amd64"), linux("386"), undefined],
    ["another system", { os: "windows", architecture: "amd64" }, linux("amd64"), undefined],
  ])("of %s", (_what, offered, wanted, rank) => {
    expect(suitability(offered, wanted)).toBe(rank);
  });

  it.each([
    ["x64", "amd64"],
    ["arm64", "arm64"],
    ["ia32", "386"],
    ["s390x", "s390x"],
  ])("takes node's %s for %s", (arch, architecture) => {
    expect(hostPlatform(arch)).toEqual({ os: "linux", architecture });
  });
});

describe("documents that mean harm", () => {
  it("refuses indexes that are nested too deeply", async () => {
    let index = builder.index([forPlatform(host)]);
    for (let depth = 0; depth < 3; depth++) index = builder.index([index]);
    builder.root([index]);
    expect(await labelOf()).toBe(host);
    builder.root([builder.index([index])]);
    await expect(labelOf()).rejects.toThrow(/nested more than 4 deep/);
  });

  it("reads an index that is named many times over once", async () => {
    let index = builder.index(Array(2_000).fill(forPlatform(other)));
    for (let depth = 0; depth < 3; depth++) index = builder.index(Array(2_000).fill(index));
    builder.root([index]);
    await expect(labelOf()).rejects.toThrow(/is for linux/);
  });

  it("looks at a bounded number of documents", async () => {
    builder.root([
      builder.index(Array.from({ length: 1_001 }, (_, i) => builder.blob({ schemaVersion: 2, i }, TYPES.index))),
    ]);
    await expect(labelOf()).rejects.toThrow(/more documents than can be looked at/);
  });

  it("refuses an index that contains itself, which no true digest can", async () => {
    const digest = `sha256:${"ab".repeat(32)}`;
    const self = { mediaType: TYPES.index, digest, size: 0 };
    let document = "";
    for (let size = 0; size !== Buffer.byteLength(document); ) {
      size = Buffer.byteLength(document);
      document = JSON.stringify({ schemaVersion: 2, manifests: [{ ...self, size }] });
    }
    builder.replace(`blobs/sha256/${"ab".repeat(32)}`, document);
    builder.root([{ ...self, size: document.length }]);
    await expect(labelOf()).rejects.toThrow(/index .* has the wrong content/);
  });

  it("refuses a manifest that says it is something else than its index says", async () => {
    builder.root([builder.image({ manifest: { mediaType: TYPES.dockerManifest } })]);
    await expect(labelOf()).rejects.toThrow(/says of itself that it is .*docker/);
  });

  it("names the media type of what is not an image", async () => {
    builder.root([builder.image({ configType: "application/vnd.oci.empty.v1+json" })]);
    await expect(labelOf()).rejects.toThrow(/is not an image: .*application\/vnd\.oci\.empty\.v1\+json/);
    builder.root([builder.blob("{}", "application/vnd.docker.distribution.manifest.v1+prettyjws")]);
    await expect(labelOf()).rejects.toThrow(/names no image: .*v1\+prettyjws/);
    builder.root([builder.image({ layers: [{ bytes: Buffer.from("x"), mediaType: "application/x-7z" }] })]);
    await expect(labelOf()).rejects.toThrow(/layer 0 is of the unknown media type application\/x-7z/);
  });

  it("refuses layers and diff ids that are not equally many", async () => {
    builder.root([builder.image({ config: { rootfs: { type: "layers", diff_ids: [] } } })]);
    await expect(labelOf()).rejects.toThrow(/manifest has 1 layers, its config 0 diff ids/);
  });
});
