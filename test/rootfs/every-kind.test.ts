import { execFileSync } from "node:child_process";
import { createReadStream, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convertLayer } from "../../src/rootfs/index.js";
import { readErofs } from "../support/erofs-reader.js";
import { everyKindTar } from "../support/every-kind-tar.js";
import { readFolder } from "../support/folder-listing.js";
import { fsck } from "../support/layer-fixture.js";
import { canMakeEveryKind } from "../support/privileges.js";
import { differences, type Listing } from "../support/tree-listing.js";

describe.runIf(canMakeEveryKind()).each([
  { format: "pax", sparse: true, huge: true },
  { format: "gnu", sparse: true, huge: false },
  { format: "pax", sparse: false, huge: false },
] as const)("a $format archive with every kind of entry (sparse: $sparse)", (options) => {
  let archive = "";
  let extracted: Listing = {};
  let converted: Listing = {};

  beforeAll(async () => {
    archive = everyKindTar(options);
    const folder = join(dirname(archive), "extracted");
    const image = join(dirname(archive), "layer.erofs");
    mkdirSync(folder);
    execFileSync("tar", ["--warning=no-timestamp", "--xattrs", "--xattrs-include=*", "-xpf", archive, "-C", folder]);
    extracted = readFolder(folder);
    const digest = await digestOf(archive);
    await convertLayer(createReadStream(archive), { blobDigest: digest, diffId: digest, output: image });
    fsck(image);
    converted = readErofs(image);
  }, 300_000);

  afterAll(() => {
    if (archive !== "") rmSync(dirname(archive), { recursive: true });
  });

  it("reads back as GNU tar extracts it", () => {
    expect(differences(converted, extracted)).toEqual([]);
  });

  it("has the kinds that it claims to have", () => {
    const types = new Set(Object.values(converted).map(({ type }) => type));
    expect([...types].sort()).toEqual(["block", "char", "directory", "fifo", "file", "symlink"]);
    expect(Object.keys(converted).length).toBeGreaterThan(5000);
    if (options.huge) expect(converted["sparse/over-4-gib"]?.size).toBe(5 * 2 ** 30 + 12_345);
    if (options.format === "pax") {
      expect(converted["xattrs/capability"]?.xattrs).toHaveProperty(["security.capability"]);
    }
  });
});

async function digestOf(path: string): Promise<string> {
  const { createHash } = await import("node:crypto");
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}
