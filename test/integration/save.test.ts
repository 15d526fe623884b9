import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ImageError, type SaveFormat, saveImage, UsageError } from "../../src/index.js";
import { openImage } from "../../src/oci/index.js";
import { busyboxImage, packedAs } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { LayoutBuilder, tagged } from "../support/layout-builder.js";
import { freshClient } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import { pushBusybox } from "../support/registry/push.js";

let registry: TestRegistry;
let client: ReturnType<typeof freshClient>;
let folder: ReturnType<typeof temporaryFolder>;
let reference: string;
beforeAll(async () => {
  registry = await startRegistry();
  reference = `${registry.host}/team/busybox:1.0`;
  await pushBusybox(reference);
});
afterAll(() => registry?.[Symbol.asyncDispose]());
beforeEach(() => {
  client = freshClient();
  folder = temporaryFolder();
});
afterEach(() => {
  client[Symbol.dispose]();
  folder[Symbol.dispose]();
});

const at = (name: string) => join(folder.path, name);

/** Digests of the layers, unpacked, as skopeo reads them. */
async function layersOf(image: string): Promise<string[]> {
  const { stdout } = await execa("skopeo", ["--insecure-policy", "inspect", "--config", "--tls-verify=false", image]);
  return JSON.parse(stdout).rootfs.diff_ids;
}

describe("an image that is saved", () => {
  it.each([
    ["oci-archive", "oci-archive", ":1.0"],
    ["oci-layout", "oci", ":1.0"],
    ["docker-archive", "docker-archive", ""],
  ] as [SaveFormat, string, string][])("as %s is what skopeo reads", async (format, transport, tag) => {
    const saved = await saveImage(reference, at("saved"), { format });
    expect(saved).toMatchObject({ path: at("saved"), format });
    const image = `${transport}:${at("saved")}${tag}`;
    expect(await layersOf(image)).toEqual(await layersOf(`docker://${reference}`));
    await execa("skopeo", ["--insecure-policy", "copy", "--quiet", image, `oci:${at("copy")}:x`]);
    await execa("umoci", ["unpack", "--image", `${at("copy")}:x`, at("bundle")]);
    expect(existsSync(at("bundle/rootfs/bin/sh"))).toBe(true);
    expect(readdirSync(folder.path).filter((name) => /partial|lock/.test(name))).toEqual([]);
  });

  it("keeps its digest in OCI's formats, and is found under its name", async () => {
    await using source = await openImage(reference);
    const saved = await saveImage(reference, at("saved.tar"));
    expect(saved.digest).toBe(source.manifestDigest);
    for (const name of ["1.0", reference]) {
      await using again = await openImage(`oci-archive:${at("saved.tar")}:${name}`);
      expect(again.manifestDigest).toBe(source.manifestDigest);
    }
    await saveImage(reference, `${at("layout")}/`, { name: "example/app:2" });
    const { stdout } = await execa("umoci", ["ls", "--layout", at("layout")]);
    expect(stdout).toBe("2");
    await using named = await openImage(`oci-layout:${at("layout")}:example/app:2`);
    expect(named.manifestDigest).toBe(source.manifestDigest);
  });

  it("is what buildah pulls", async () => {
    await saveImage(reference, at("saved.tar"));
    await saveImage(reference, at("docker.tar"), { format: "docker-archive" });
    const stores = ["--root", at("root"), "--runroot", at("run"), "--storage-driver", "vfs"];
    for (const image of [`oci-archive:${at("saved.tar")}:1.0`, `docker-archive:${at("docker.tar")}`]) {
      await execa("buildah", [...stores, "pull", "--quiet", image], {
        env: { TMPDIR: folder.path, DOCKER_CONFIG: undefined },
      });
    }
    const { stdout } = await execa("buildah", [...stores, "images", "--json"]);
    expect(stdout).toContain(`${registry.host}/team/busybox:1.0`);
  });

  it("may come from docker's archive and go to it again, layer for layer", async () => {
    const source = await packedAs("docker-archive", await busyboxImage());
    await saveImage(source, at("again.tar"), { format: "docker-archive" });
    expect(await layersOf(`docker-archive:${at("again.tar")}`)).toEqual(
      await layersOf(`docker-archive:${source.replace("oci-archive:", "")}`),
    );
    await using image = await openImage(`oci-archive:${at("again.tar")}`);
    expect(image.layers.length).toBeGreaterThan(0);
  });

  it("may be all of an index", async () => {
    const builder = new LayoutBuilder();
    const [one, two] = ["amd64", "arm64"].map((architecture) =>
      builder.image({ config: { architecture } }, { platform: { os: "linux", architecture } }),
    );
    const index = builder.index(
      [one, two].filter((each) => each !== undefined),
      tagged("many"),
    );
    builder.root([index]).writeTo(at("source"));
    const saved = await saveImage(`oci-layout:${at("source")}:many`, at("all.tar"), { all: true });
    expect(saved.digest).toBe(index.digest);
    await saveImage(`oci-archive:${at("all.tar")}:many`, at("arm.tar"), { platform: "linux/arm64" });
    expect(JSON.parse((await execa("tar", ["-xOf", at("arm.tar"), "index.json"])).stdout).manifests[0].digest).toBe(
      two?.digest,
    );
    const docker = saveImage(`oci-layout:${at("source")}:many`, at("d.tar"), { all: true, format: "docker-archive" });
    await expect(docker).rejects.toThrow(UsageError);
    expect(existsSync(at("d.tar"))).toBe(false);
  });
});

describe("what is there", () => {
  it("is replaced when it is a file, and only when the new one is whole", async () => {
    writeFileSync(at("saved.tar"), "older");
    const builder = new LayoutBuilder();
    const layer = Buffer.alloc(10_000, "layer");
    builder.root([builder.image({ layers: [layer] })]);
    const [path = ""] = [...builder.files].find(([, bytes]) => bytes.length === layer.length) ?? [];
    builder.replace(path, Buffer.alloc(10_000, "other")).writeTo(at("broken"));
    await expect(saveImage(`oci-layout:${at("broken")}`, at("saved.tar"))).rejects.toThrow(ImageError);
    expect(readFileSync(at("saved.tar"), "utf8")).toBe("older");
    await saveImage(reference, at("saved.tar"));
    await using again = await openImage(`oci-archive:${at("saved.tar")}`);
    expect(again.layers).toHaveLength(1);
    expect(readdirSync(folder.path).toSorted()).toEqual(["broken", "saved.tar"]);
  });

  it("is kept when it is a folder", async () => {
    mkdirSync(at("mine"));
    writeFileSync(at("mine/file"), "precious");
    for (const format of ["oci-layout", "oci-archive"] as const) {
      await expect(saveImage(reference, at("mine"), { format })).rejects.toThrow(/is there already/);
    }
    expect(readFileSync(at("mine/file"), "utf8")).toBe("precious");
  });
});
