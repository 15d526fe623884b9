import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import {
  checkImageLayout,
  documentType,
  parseDescriptor,
  parseDockerSave,
  parseIndex,
  parseManifest,
} from "../../src/oci/documents.js";
import { layerCompression } from "../../src/oci/media-types.js";
import { MAX_DOCUMENT_BYTES } from "../../src/oci/parse-document.js";
import { TYPES } from "../support/layout-builder.js";

const DIGEST = `sha256:${"5b".repeat(32)}`;
const HALF = "1234567890".repeat(13).slice(0, 127);
const DESCRIPTOR = { mediaType: TYPES.manifest, size: 7682, digest: DIGEST };
const LAYER = { mediaType: `${TYPES.layer}+gzip`, size: 148, digest: DIGEST };
const CONFIG = { mediaType: TYPES.config, size: 1470, digest: DIGEST };
const MANIFEST = { schemaVersion: 2, mediaType: TYPES.manifest, config: CONFIG, layers: [LAYER] };
const INDEX = { schemaVersion: 2, manifests: [{ ...DESCRIPTOR, platform: { architecture: "amd64", os: "linux" } }] };

const bytes = (document: unknown): Uint8Array => Buffer.from(JSON.stringify(document));

/** The object with one field changed, or (undefined) left out. */
function having<T extends object>(base: T, changes: Record<string, unknown>): object {
  return { ...base, ...changes };
}

describe("a descriptor", () => {
  it.each<[string, Record<string, unknown>]>([
    ["what is usual", {}],
    ["an empty blob", { size: 0, mediaType: "application/octet-stream" }],
    ["media types of the greatest length", { mediaType: `${HALF}/${HALF}` }],
    ["urls", { urls: ["https://example.com/foo"] }],
    ["an artifact type", { artifactType: TYPES.manifest }],
    ["an empty artifact type", { artifactType: "" }],
    ["embedded data", { data: "aGk=" }],
    ["annotations", { annotations: { a: "b", "": "" } }],
    ["no annotations as Go writes them", { annotations: null }],
    ["sha512", { digest: `sha512:${"0f".repeat(64)}` }],
    ["an algorithm with components", { digest: `sha256+b64:${"5b".repeat(32)}` }],
    ["an algorithm with several separators", { digest: `sha256.foo-bar:${"5b".repeat(32)}` }],
    [
      "an encoding that is not hexadecimal",
      { digest: "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8" },
    ],
    ["a URL-safe encoding", { digest: "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=" }],
    [
      "a platform with more in it",
      { platform: { architecture: "arm", os: "linux", variant: "v7", "os.version": "1" } },
    ],
  ])("may have %s", (_what, changes) => {
    expect(parseDescriptor(bytes(having(DESCRIPTOR, changes)), "x")).toMatchObject({ size: expect.any(Number) });
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["no media type", { mediaType: undefined }, /mediaType/],
    ["an empty media type", { mediaType: "" }, /mediaType: is not a media type/],
    ["a media type without a subtype", { mediaType: "application" }, /is not a media type/],
    ["a type that starts with a dot", { mediaType: ".foo/bar" }, /is not a media type/],
    ["a subtype that starts with a dot", { mediaType: "foo/.bar" }, /is not a media type/],
    ["a type that is too long", { mediaType: `${HALF}8/bar` }, /is not a media type/],
    ["a subtype that is too long", { mediaType: `foo/${HALF}8` }, /is not a media type/],
    ["a media type with a line end", { mediaType: "foo/bar\n" }, /is not a media type/],
    ["no size", { size: undefined }, /size/],
    ["a size in text", { size: "7682" }, /size/],
    ["a negative size", { size: -7682 }, /size: must not be negative/],
    ["half a byte", { size: 1.5 }, /size: must be a whole number/],
    ["a size beyond what can be counted", { size: 2 ** 60 }, /size: must be a whole number/],
    ["no digest", { digest: undefined }, /digest/],
    ["a digest without an algorithm", { digest: `:${"5b".repeat(32)}` }, /is not a digest/],
    ["a digest without a hash", { digest: "sha256" }, /is not a digest/],
    ["an algorithm in upper case", { digest: `SHA256:${"5b".repeat(32)}` }, /is not a digest/],
    ["sha256 in upper case", { digest: `sha256:${"5B".repeat(32)}` }, /is not a digest/],
    ["sha256 with letters that are not hexadecimal", { digest: `sha256:${"hm".repeat(32)}` }, /is not a digest/],
    ["sha256 that is too short", { digest: "sha256:5b" }, /is not a digest/],
    ["sha512 of sha256's length", { digest: `sha512:${"5b".repeat(32)}` }, /is not a digest/],
    ["repeated separators in the algorithm", { digest: `sha256+foo+-b:${"5b".repeat(32)}` }, /is not a digest/],
    ["a path for a digest", { digest: "sha256:../../../etc/passwd" }, /is not a digest/],
    ["a path for an algorithm", { digest: "../../etc:passwd" }, /is not a digest/],
    ["a bad artifact type", { artifactType: "foo/.bar" }, /artifactType/],
    ["annotations that are no text", { annotations: { a: 1 } }, /annotations/],
    ["a platform without an architecture", { platform: { os: "linux" } }, /platform\.architecture/],
    ["a variant that is a number", { platform: { os: "linux", architecture: "arm", variant: 7 } }, /platform\.variant/],
  ])("must not have %s", (_what, changes, reason) => {
    expect(() => parseDescriptor(bytes(having(DESCRIPTOR, changes)), "x")).toThrow(reason);
  });
});

describe("a manifest", () => {
  it.each<[string, Record<string, unknown>]>([
    ["what is usual", {}],
    ["no media type of its own", { mediaType: undefined }],
    ["docker's types", { mediaType: TYPES.dockerManifest, config: having(CONFIG, { mediaType: TYPES.dockerConfig }) }],
    ["annotations", { annotations: { key1: "value1", key2: "value2" } }],
    ["no layers", { layers: [] }],
    ["no layers as Go writes them", { layers: null }],
    ["a subject and other things that are added later", { subject: DESCRIPTOR, artifactType: "a/b", more: [] }],
    ["10,000 layers", { layers: Array(10_000).fill(LAYER) }],
  ])("may have %s", (_what, changes) => {
    expect(parseManifest(bytes(having(MANIFEST, changes)), "x").config.size).toBe(1470);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["a media type that is none", { mediaType: "invalid" }, /mediaType/],
    ["the media type of an index", { mediaType: TYPES.index }, /mediaType: is not a manifest's/],
    ["schema version 1", { schemaVersion: 1 }, /schemaVersion: must be 2/],
    ["no schema version", { schemaVersion: undefined }, /schemaVersion/],
    ["no config", { config: undefined }, /config/],
    ["a config whose size is text", { config: having(CONFIG, { size: "1470" }) }, /config\.size/],
    [
      "a config whose digest is not hexadecimal",
      { config: having(CONFIG, { digest: `sha256:${"hm".repeat(32)}` }) },
      /config\.digest/,
    ],
    ["a layer whose size is text", { layers: [having(LAYER, { size: "675598" })] }, /layers\.0\.size/],
    ["layers that are no list", { layers: {} }, /layers/],
    ["10,001 layers", { layers: Array(10_001).fill(LAYER) }, /more than 10000 layers/],
    ["an index inside", { manifests: [] }, /a manifest and an index at once/],
  ])("must not have %s", (_what, changes, reason) => {
    expect(() => parseManifest(bytes(having(MANIFEST, changes)), "manifest x")).toThrow(reason);
    expect(() => parseManifest(bytes(having(MANIFEST, changes)), "manifest x")).toThrow(/^manifest x is malformed/);
  });
});

describe("an index", () => {
  it.each<[string, Record<string, unknown>]>([
    ["what is usual", {}],
    ["a media type", { mediaType: TYPES.index }],
    ["docker's media type", { mediaType: TYPES.dockerList }],
    ["entries without a platform", { manifests: [DESCRIPTOR] }],
    [
      "entries of kinds that are not known here",
      { manifests: [having(DESCRIPTOR, { mediaType: "application/customized.manifest+json" })] },
    ],
    ["no entries", { manifests: [] }],
    ["no entries as Go writes them", { manifests: null }],
    ["annotations", { annotations: { "com.example.key1": "value1" } }],
  ])("may have %s", (_what, changes) => {
    expect(Array.isArray(parseIndex(bytes(having(INDEX, changes)), "x").manifests)).toBe(true);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["the media type of a manifest", { mediaType: TYPES.manifest }, /is not an index's/],
    [
      "an entry whose media type is none",
      { manifests: [having(DESCRIPTOR, { mediaType: "invalid" })] },
      /manifests\.0\.mediaType/,
    ],
    [
      "an entry whose media type is empty",
      { manifests: [having(DESCRIPTOR, { mediaType: "" })] },
      /manifests\.0\.mediaType/,
    ],
    ["an entry whose size is text", { manifests: [having(DESCRIPTOR, { size: "7682" })] }, /manifests\.0\.size/],
    [
      "an entry without a digest",
      { manifests: [DESCRIPTOR, having(DESCRIPTOR, { digest: undefined })] },
      /manifests\.1\.digest/,
    ],
    ["schema version 1", { schemaVersion: 1 }, /schemaVersion: must be 2/],
    ["layers", { layers: [LAYER] }, /an index and a manifest at once/],
    ["a config", { config: CONFIG }, /an index and a manifest at once/],
    ["10,001 entries", { manifests: Array(10_001).fill(DESCRIPTOR) }, /too many entries/],
  ])("must not have %s", (_what, changes, reason) => {
    expect(() => parseIndex(bytes(having(INDEX, changes)), "x")).toThrow(reason);
  });
});

describe("any document", () => {
  it.each([
    ["text", Buffer.from("invalid JSON")],
    ["nothing", Buffer.alloc(0)],
    ["half a document", Buffer.from('{"schemaVersion":2,')],
    ["bytes that are not UTF-8", Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ["very deep nesting", Buffer.from("[".repeat(1_000_000))],
  ])("is refused when it is %s", (_what, content) => {
    expect(() => parseIndex(content, "index.json")).toThrow(ImageError);
    expect(() => parseIndex(content, "index.json")).toThrow(/index\.json is not JSON/);
  });

  it.each(["null", "[]", "1", '"text"', "true"])("is refused when it is %s", (content) => {
    expect(() => parseIndex(Buffer.from(content), "index.json")).toThrow(/index\.json is malformed/);
    expect(() => parseManifest(Buffer.from(content), "manifest")).toThrow(/manifest is malformed/);
  });

  it("is refused when it is larger than 4 MiB, even if valid", () => {
    const padded = Buffer.concat([bytes(INDEX), Buffer.alloc(MAX_DOCUMENT_BYTES, " ")]);
    expect(() => parseIndex(padded, "x")).toThrow(/larger than 4194304 bytes/);
    expect(parseIndex(padded.subarray(0, MAX_DOCUMENT_BYTES), "x").manifests).toHaveLength(1);
  });

  it("does not repeat long hostile text in its message", () => {
    const hostile = bytes(having(INDEX, { schemaVersion: "x".repeat(100_000) }));
    expect(() => parseIndex(hostile, "x")).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{1,400}$/s) }),
    );
  });
});

describe("other documents", () => {
  it("takes the layout version 1.0.0 only", () => {
    expect(() => checkImageLayout(bytes({ imageLayoutVersion: "1.0.0" }), "oci-layout")).not.toThrow();
    expect(() => checkImageLayout(bytes({ imageLayoutVersion: "2.0.0" }), "oci-layout")).toThrow(/must be 1\.0\.0/);
    expect(() => checkImageLayout(bytes({}), "oci-layout")).toThrow(/imageLayoutVersion/);
  });

  it("reads docker save's manifest with and without tags", () => {
    const saved = { Config: "a.json", RepoTags: ["x:1"], Layers: ["a/layer.tar"], LayerSources: {} };
    expect(parseDockerSave(bytes([saved, { Config: "b.json", RepoTags: null }]), "x")).toEqual([
      { Config: "a.json", RepoTags: ["x:1"], Layers: ["a/layer.tar"] },
      { Config: "b.json", RepoTags: null, Layers: [] },
    ]);
    expect(() => parseDockerSave(bytes([{ RepoTags: null, Layers: [] }]), "x")).toThrow(/0\.Config/);
    expect(() => parseDockerSave(bytes({}), "x")).toThrow(/malformed/);
  });

  it("tells a document's type from what it says, else from its form", () => {
    expect(documentType(bytes({ mediaType: TYPES.dockerList }), "x")).toBe(TYPES.dockerList);
    expect(documentType(bytes({ manifests: [] }), "x")).toBe(TYPES.index);
    expect(documentType(bytes({ layers: [] }), "x")).toBe(TYPES.manifest);
  });
});

describe("layerCompression", () => {
  const oci = "application/vnd.oci.image.layer.";
  const docker = "application/vnd.docker.image.rootfs.";
  it.each([
    [`${oci}v1.tar`, "none"],
    [`${oci}v1.tar+gzip`, "gzip"],
    [`${oci}v1.tar+zstd`, "zstd"],
    [`${oci}nondistributable.v1.tar`, "none"],
    [`${oci}nondistributable.v1.tar+gzip`, "gzip"],
    [`${oci}nondistributable.v1.tar+zstd`, "zstd"],
    [`${docker}diff.tar`, "none"],
    [`${docker}diff.tar.gzip`, "gzip"],
    [`${docker}diff.tar.zstd`, "zstd"],
    [`${docker}diff.tar+zstd`, "zstd"],
    [`${docker}foreign.diff.tar`, "none"],
    [`${docker}foreign.diff.tar.gzip`, "gzip"],
    [`${oci}v1.tar+bzip2`, undefined],
    [`${oci}v1.tar+encrypted`, undefined],
    ["application/vnd.in-toto+json", undefined],
    [TYPES.config, undefined],
    ["__proto__", undefined],
  ])("of %s is %s", (mediaType, compression) => {
    expect(layerCompression(mediaType)).toBe(compression);
  });
});
