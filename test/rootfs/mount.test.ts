import { execFileSync } from "node:child_process";
import { createReadStream, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convertLayer } from "../../src/rootfs/index.js";
import { readErofs } from "../support/erofs-reader.js";
import { everyKindTar } from "../support/every-kind-tar.js";
import { readFolder } from "../support/folder-listing.js";
import { inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { canMakeEveryKind, canMountLayers } from "../support/privileges.js";
import { TarBuilder } from "../support/tar-builder.js";
import { differences } from "../support/tree-listing.js";

// Only where the host can mount EROFS; everywhere else the guest's kernel does the same in the integration tests.
describe.runIf(canMakeEveryKind() && canMountLayers())("the host's kernel", () => {
  let archive = "";

  beforeAll(() => {
    archive = everyKindTar({ huge: false });
  });
  afterAll(() => rmSync(dirname(archive), { recursive: true }));

  it("reads an image with every kind of entry as the tests' own reader does", async () => {
    using folder = temporaryFolder();
    const image = join(folder.path, "layer.erofs");
    const digest = sha256(readFileSync(archive));
    await convertLayer(createReadStream(archive), { blobDigest: digest, diffId: digest, output: image });
    using mounted = mount(folder.path, "erofs", "loop,ro", image);
    expect(differences(readFolder(mounted.path), readErofs(image))).toEqual([]);
  });

  it("reads what lies at unusual places: large attributes, the root's, maps of large sparse files", async () => {
    using folder = temporaryFolder();
    const large = { "SCHILY.xattr.user.large": Buffer.alloc(60_000, "v"), "SCHILY.xattr.trusted.small": "s" };
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`SCHILY.xattr.user.${i}`, `value ${i}`]));
    const pieces = Array.from({ length: 3000 }, (_, i) => `${i * 300_000},5`).join(",");
    const sparse = { "GNU.sparse.size": "900000000", "GNU.sparse.numblocks": "3000", "GNU.sparse.map": pieces };
    const builder = new TarBuilder().pax(many).directory("./").pax(large).directory("d").file("d/f", "x");
    builder.pax(large).file("f", Buffer.alloc(10_000, "content")).pax(large).symlink("s", "target");
    builder.pax(sparse).file("sparse", Buffer.alloc(15_000, "12345")).file(".wh..wh..opq");
    const image = await convert(folder.path, "layer", builder);
    using mounted = mount(folder.path, "erofs", "loop,ro", image);
    expect(differences(readFolder(mounted.path), readErofs(image))).toEqual([]);
  });

  it("finds each of 30,000 names in a directory", async () => {
    using folder = temporaryFolder();
    const names = Array.from({ length: 30_000 }, (_, i) => `${(i * 7919) % 30_000}-${"x".repeat(i % 40)}`);
    const builder = new TarBuilder();
    for (const name of names) builder.file(`d/${name}`, name);
    const image = await convert(folder.path, "layer", builder);
    using mounted = mount(folder.path, "erofs", "loop,ro", image);
    for (const name of names) expect(readFileSync(join(mounted.path, "d", name), "latin1")).toBe(name);
  });

  it("stacks layers so that whiteouts and opaque directories hide what is below", async () => {
    using folder = temporaryFolder();
    const lower = new TarBuilder()
      .directory("kept")
      .file("kept/a", "lower")
      .file("kept/b", "lower")
      .file("gone", "lower");
    lower.directory("opaque").file("opaque/old").directory("replaced").file("replaced/old");
    const upper = new TarBuilder().directory("kept").file("kept/.wh.b").file(".wh.gone").file("kept/c", "upper");
    upper.directory("opaque").file("opaque/new").file("opaque/.wh..wh..opq");
    upper.directory("replaced").file("replaced/new").file(".wh.replaced");
    using below = mount(folder.path, "erofs", "loop,ro", await convert(folder.path, "lower", lower));
    using above = mount(folder.path, "erofs", "loop,ro", await convert(folder.path, "upper", upper));
    using merged = mount(folder.path, "overlay", `ro,lowerdir=${above.path}:${below.path}`, "overlay");
    expect(Object.keys(readFolder(merged.path))).toEqual([
      ".",
      "kept",
      "kept/a",
      "kept/c",
      "opaque",
      "opaque/new",
      "replaced",
      "replaced/new",
    ]);
  });

  it("does not follow an overlay redirect that an image carries", async () => {
    using folder = temporaryFolder();
    const lower = new TarBuilder().directory("secret").file("secret/key", "lower");
    const upper = new TarBuilder().pax({ "SCHILY.xattr.trusted.overlay.redirect": "/secret" }).directory("public");
    using below = mount(folder.path, "erofs", "loop,ro", await convert(folder.path, "lower", lower));
    using above = mount(folder.path, "erofs", "loop,ro", await convert(folder.path, "upper", upper));
    const options = `ro,redirect_dir=follow,lowerdir=${above.path}:${below.path}`;
    using merged = mount(folder.path, "overlay", options, "overlay");
    expect(Object.keys(readFolder(merged.path))).toEqual([".", "public", "secret", "secret/key"]);
  });
});

async function convert(folder: string, name: string, builder: TarBuilder): Promise<string> {
  const archive = builder.finish();
  const output = join(folder, `${name}.erofs`);
  await convertLayer(inPieces(archive), { blobDigest: sha256(archive), diffId: sha256(archive), output });
  return output;
}

let mounts = 0;

function mount(folder: string, type: string, options: string, source: string): Disposable & { path: string } {
  const path = join(folder, `mount-${++mounts}`);
  mkdirSync(path);
  execFileSync("mount", ["-t", type, "-o", options, source, path], { stdio: "pipe" });
  return { path, [Symbol.dispose]: () => void execFileSync("umount", [path], { stdio: "pipe" }) };
}
