import { createHash } from "node:crypto";
import { execa } from "execa";
import { beforeAll, describe, expect, it } from "vitest";
import { type LayerDescriptor, openImage } from "../../src/oci/index.js";
import { busyboxImage, debianPythonImage, type PackedForm, type PreparedImage, packedAs } from "../support/images.js";

async function digestOfLayer(layer: LayerDescriptor): Promise<{ digest: string; size: number }> {
  const hash = createHash(layer.digest.startsWith("sha512") ? "sha512" : "sha256");
  let size = 0;
  for await (const chunk of await layer.open()) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { digest: `${layer.digest.split(":")[0]}:${hash.digest("hex")}`, size };
}

describe("images as real tools write them", () => {
  let image: PreparedImage;

  beforeAll(async () => {
    image = await busyboxImage();
  });

  const forms: { form: PackedForm; tag: string; layers: number }[] = [
    { form: "oci", tag: "packed", layers: 1 },
    { form: "oci-archive", tag: "packed", layers: 1 },
    { form: "docker-archive", tag: "1.0", layers: 1 },
    { form: "umoci", tag: "packed", layers: 2 },
    { form: "buildah", tag: "packed", layers: 1 },
  ];

  it.each(forms)("opens what $form made, with and without its tag", async ({ form, tag, layers }) => {
    const source = await packedAs(form, image);
    await using bare = await openImage(source);
    await using named = await openImage(`${source}:${tag}`);
    expect(named.manifestDigest).toBe(bare.manifestDigest);
    expect(bare.layers).toHaveLength(layers);
    for (const layer of bare.layers) {
      expect(await digestOfLayer(layer)).toEqual({ digest: layer.digest, size: layer.size });
    }
    await expect(openImage(`${source}:absent`)).rejects.toThrow(/there is no image absent[\s\S]*(packed|1\.0)/);
  });

  it.each(["oci", "oci-archive"] as const)("finds the same documents as skopeo in its %s", async (form) => {
    const source = await packedAs(form, image);
    const skopeoName = source.replace("oci-layout:", "oci:");
    const { stdout } = await execa("skopeo", ["inspect", "--raw", `${skopeoName}:packed`], {
      stripFinalNewline: false,
    });
    await using opened = await openImage(source);
    expect(opened.manifestDigest).toBe(`sha256:${createHash("sha256").update(stdout).digest("hex")}`);
    const manifest = JSON.parse(stdout);
    expect(opened.configDigest).toBe(manifest.config.digest);
    expect(opened.layers.map((layer) => layer.digest)).toEqual(
      manifest.layers.map((layer: { digest: string }) => layer.digest),
    );
  });

  it("gives one image id for the layout and for the docker archive of it", async () => {
    await using layout = await openImage(await packedAs("oci", image));
    await using saved = await openImage(await packedAs("docker-archive", image));
    expect(saved.configDigest).toBe(layout.configDigest);
    expect(saved.layers.map((layer) => layer.diffId)).toEqual(layout.layers.map((layer) => layer.diffId));
    expect(saved.layers.map((layer) => layer.compression)).toEqual(["none"]);
  });

  it("reads the run configuration that buildah wrote", async () => {
    await using built = await openImage(await packedAs("buildah", image));
    expect(built.config.config).toMatchObject({ User: "app", Cmd: ["sh"], WorkingDir: "/tmp" });
    expect(built.config.config.Env).toContain("MADE=yes");
  });
});

describe("the demo's image", () => {
  it("is a Debian with python3 in one layer, as a layout and as an archive", async () => {
    const { layout, archive } = await debianPythonImage();
    await using inFolder = await openImage(`oci-layout:${layout}:latest`);
    await using inArchive = await openImage(`oci-archive:${archive}`);
    expect(inArchive.manifestDigest).toBe(inFolder.manifestDigest);
    expect(inArchive.config.config).toMatchObject({ Cmd: ["python3"], WorkingDir: "/" });
    expect(inArchive.config.config.Env?.[0]).toMatch(/^PATH=.*\/usr\/bin/);
    const [layer, ...others] = inArchive.layers;
    expect(others).toEqual([]);
    expect(await digestOfLayer(layer!)).toEqual({ digest: layer!.digest, size: layer!.size });
  });
});
