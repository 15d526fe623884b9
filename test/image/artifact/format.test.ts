import { describe, expect, test } from "vitest";
import { ImageError } from "../../../src/errors.js";
import {
  type Artifact,
  BLOB_TYPES,
  CONTENT_DIGEST,
  CONTENT_SIZE,
  parseArtifact,
} from "../../../src/image/artifact/format.js";
import { type ImageManifest, SNAPSHOT_ARTIFACT, SNAPSHOT_CONFIG } from "../../../src/oci/index.js";
import { sha256Of } from "../../support/layout-builder.js";

type Parts = { manifest: ImageManifest; config: Record<string, unknown> };

function blob(mediaType: string, content: string): ImageManifest["layers"][number] {
  const annotations = { [CONTENT_DIGEST]: sha256Of(content), [CONTENT_SIZE]: String(content.length) };
  return { mediaType, digest: sha256Of(`packed ${content}`), size: content.length + 7, annotations };
}

function parts(): Parts {
  const layers = [
    blob(BLOB_TYPES.layer, "lower"),
    blob(BLOB_TYPES.layer, "upper"),
    ...(["templateRam", "templateState", "delta", "deviceState"] as const).map((kind) => blob(BLOB_TYPES[kind], kind)),
  ];
  const manifest: ImageManifest = {
    schemaVersion: 2,
    artifactType: SNAPSHOT_ARTIFACT,
    config: { mediaType: SNAPSHOT_CONFIG, digest: sha256Of("config"), size: 6 },
    layers,
  };
  const config = {
    schemaVersion: 1,
    created: "2026-01-02T03:04:05.678Z",
    platform: "linux/amd64",
    state: "baked",
    manifestDigest: sha256Of("image"),
    template: { key: "0123456789abcdef01234567", memoryMiB: 256, vcpus: 1, accelerator: "tcg", hypervisor: "QEMU" },
    config: { entrypoint: [], cmd: ["sh"], env: { A: "b" }, workdir: "/", user: "" },
    layers: [
      { lun: 1, diffId: sha256Of("tar 1"), content: sha256Of("lower") },
      { lun: 2, diffId: sha256Of("tar 2"), content: sha256Of("upper") },
    ],
  };
  return { manifest, config };
}

function parse({ manifest, config }: Parts): Artifact {
  return parseArtifact(manifest, Buffer.from(JSON.stringify(config)), "example/snapshot:1");
}

/** Sets a value deep inside, by a path such as `layers.0.lun`. */
function set(object: object, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  const parent = keys.reduce((each, key) => Reflect.get(each, key) as object, object);
  if (value === undefined) Reflect.deleteProperty(parent, last);
  else Reflect.set(parent, last, value);
}

test("a snapshot's parts are told apart by their media types, layers by their content", () => {
  const artifact = parse(parts());
  expect(artifact.layers.map(({ content }) => content.digest)).toEqual([sha256Of("lower"), sha256Of("upper")]);
  expect(artifact.delta.content).toEqual({ digest: sha256Of("delta"), size: 5 });
  expect(artifact.templateRam.descriptor.digest).toBe(sha256Of("packed templateRam"));
});

test("one file may be two layers", () => {
  const { manifest, config } = parts();
  set(config, "layers.1.content", sha256Of("lower"));
  const { layers } = parse({ manifest, config });
  expect(layers[0]).toEqual(layers[1]);
});

describe("a config is refused", () => {
  const cases: [string, string, unknown, RegExp][] = [
    [
      "when its template's key climbs out",
      "template.key",
      "../../../../tmp/x0000000",
      /template.key.*not a template's/,
    ],
    ["when it has no template", "template", undefined, /template/],
    ["when its memory is no number", "template.memoryMiB", "256", /memoryMiB/],
    ["when its memory is no whole number", "template.memoryMiB", 1.5, /memoryMiB/],
    ["when it has no memory", "template.memoryMiB", 0, /memoryMiB/],
    ["when it has endless memory", "template.memoryMiB", 1e15, /memoryMiB/],
    ["when its accelerator is unknown", "template.accelerator", "xen", /accelerator/],
    ["when a digest climbs out", "layers.0.content", "sha256:../../x", /not a digest/],
    ["when a diff id climbs out", "layers.0.diffId", "../../x", /not a digest/],
    ["when two disks have one number", "layers.1.lun", 1, /one number/],
    ["when a disk has no number", "layers.0.lun", -1, /lun/],
    ["when a disk's number is too large", "layers.0.lun", 20_000, /lun/],
    ["when a layer is of no blob", "layers.0.content", sha256Of("nowhere"), /no blob for its layer/],
    ["when a layer is what is no layer", "layers.0.content", sha256Of("delta"), /no blob for its layer/],
    ["when its platform is none", "platform", "a/b/c/d", /platform/],
    ["when its state is unknown", "state", "other", /state/],
    ["when it is of a later version", "schemaVersion", 2, /schemaVersion/],
    ["when its environment is none", "config.env", { A: 1 }, /env/],
    ["when it was made at no time", "created", "yesterday", /created/],
    ["when it listens on no port", "guestPort", 70_000, /guestPort/],
  ];

  test.each(cases)("%s", (_what, path, value, message) => {
    const { manifest, config } = parts();
    set(config, path, value);
    expect(() => parse({ manifest, config })).toThrow(ImageError);
    expect(() => parse({ manifest, config })).toThrow(message);
  });

  test("when it is not JSON", () => {
    expect(() => parseArtifact(parts().manifest, Buffer.from("{"), "example")).toThrow(/not JSON/);
  });
});

describe("a manifest is refused", () => {
  const kinds = ["templateRam", "templateState", "delta", "deviceState"] as const;

  test.each(kinds)("without a part, and with two of it: %s", (kind) => {
    const { manifest, config } = parts();
    const others = manifest.layers.filter(({ mediaType }) => mediaType !== BLOB_TYPES[kind]);
    expect(() => parse({ manifest: { ...manifest, layers: others }, config })).toThrow(/no blob of the type/);
    const layers = [...manifest.layers, blob(BLOB_TYPES[kind], "another")];
    expect(() => parse({ manifest: { ...manifest, layers }, config })).toThrow(/several blobs/);
  });

  test.each([
    ["no annotations", undefined],
    ["no digest", { [CONTENT_SIZE]: "1" }],
    ["a digest that climbs out", { [CONTENT_DIGEST]: "sha256:../..", [CONTENT_SIZE]: "1" }],
    ["no size", { [CONTENT_DIGEST]: sha256Of("x") }],
    ["a size below zero", { [CONTENT_DIGEST]: sha256Of("x"), [CONTENT_SIZE]: "-1" }],
    ["a size that no number holds", { [CONTENT_DIGEST]: sha256Of("x"), [CONTENT_SIZE]: "9".repeat(16) }],
  ])("when a blob has %s", (_what, annotations) => {
    const { manifest, config } = parts();
    set(manifest, "layers.0.annotations", annotations);
    expect(() => parse({ manifest, config })).toThrow(/does not say what its blob/);
  });
});
