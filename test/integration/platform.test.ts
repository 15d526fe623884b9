import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ImageError, UsageError } from "../../src/errors.js";
import { Image } from "../../src/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { HOST_ARCHITECTURE, LayoutBuilder, type TestDescriptor } from "../support/layout-builder.js";
import { TarBuilder } from "../support/tar-builder.js";
import { tinyProgram } from "../support/tiny-program.js";

let folder: ReturnType<typeof temporaryFolder>;
let builder: LayoutBuilder;
beforeEach(() => {
  folder = temporaryFolder();
  builder = new LayoutBuilder();
});
afterEach(() => folder[Symbol.dispose]());

/** An image with one program, which prints its architecture. */
function printing(architecture: "386" | "amd64", extra: Partial<TestDescriptor> = {}): TestDescriptor {
  const program = new TarBuilder().file("print", tinyProgram(architecture, architecture), { mode: 0o755 }).finish();
  return builder.image({ layers: [program], config: { architecture, config: { Entrypoint: ["/print"] } } }, extra);
}

function withPlatform(architecture: "386" | "amd64"): TestDescriptor {
  return printing(architecture, { platform: { os: "linux", architecture } });
}

const isX64 = process.arch === "x64";
const foreign = HOST_ARCHITECTURE === "arm64" ? "linux/amd64" : "linux/arm64";

describe.skipIf(!isX64)("an image for two kinds of processor", () => {
  it("runs for either, each under its own name", async () => {
    builder.root([builder.index([withPlatform("386"), withPlatform("amd64")])]).writeTo(folder.path);
    const names = new Set<string>();
    const printed: string[] = [];
    for (const platform of [undefined, "linux/386", "linux/amd64", "linux/amd64/v2"]) {
      const image = await Image.fromOci(`oci-layout:${folder.path}`, { platform, snapshotsDir: `${folder.path}/made` });
      names.add(image.name);
      await using vm = await image.start();
      printed.push((await vm.run(["/print"])).stdout);
    }
    expect(printed).toEqual(["amd64", "386", "amd64", "amd64"]);
    expect(names.size).toBe(2);
  });

  it("is known by its platform when the snapshot is named", async () => {
    builder.root([printing("386")]).writeTo(folder.path);
    const snapshotsDir = `${folder.path}/made`;
    const { name } = await Image.fromOci(`oci-layout:${folder.path}`, { snapshotsDir });
    expect((await Image.open(name, { snapshotsDir, platform: "linux/386" })).name).toBe(name);
    await expect(Image.open(name, { snapshotsDir, platform: foreign })).rejects.toThrow(/is for linux\/386, not for/);
  });
});

describe("an image for another kind of machine", () => {
  const withoutProgram = (architecture: string) =>
    builder.image({ config: { architecture } }, { platform: { os: "linux", architecture } });
  const bake = (platform?: string) => Image.fromOci(`oci-layout:${folder.path}`, { platform });

  it("is refused when it is asked for; what there is and what runs here is said", async () => {
    const [, architecture = ""] = foreign.split("/");
    const index = builder.index([withoutProgram(architecture), withoutProgram(HOST_ARCHITECTURE)]);
    builder.root([index]).writeTo(folder.path);
    await expect(bake(foreign)).rejects.toThrow(ImageError);
    await expect(bake(foreign)).rejects.toThrow(
      new RegExp(
        `for ${foreign} cannot run on this machine[\\s\\S]*runs images for linux/${HOST_ARCHITECTURE}[\\s\\S]*` +
          `other platforms: ${foreign}, linux/${HOST_ARCHITECTURE}`,
      ),
    );
  });

  it("is refused when there is no other", async () => {
    builder.root([withoutProgram("s390x")]).writeTo(folder.path);
    await expect(bake()).rejects.toThrow(
      new RegExp(`is for linux/s390x, not for linux/${HOST_ARCHITECTURE}[\\s\\S]*runs images for linux/`),
    );
    await expect(bake("linux/s390x")).rejects.toThrow(/linux\/s390x cannot run on this machine/);
  });

  it("is no platform that can be read", async () => {
    await expect(bake("linux/")).rejects.toThrow(UsageError);
  });
});
