import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ImageNotFoundError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { busyboxImage, packedAs } from "../support/images.js";
import { freshClient, pull } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import { pushBusybox, pushFrom } from "../support/registry/push.js";

let registry: TestRegistry;
let client: ReturnType<typeof freshClient>;
beforeAll(async () => {
  registry = await startRegistry();
  await pushBusybox(`${registry.host}/team/busybox:oci`);
  await pushBusybox(`${registry.host}/team/busybox:docker`, { format: "v2s2" });
});
afterAll(() => registry?.[Symbol.asyncDispose]());
beforeEach(() => {
  client = freshClient();
});
afterEach(() => client[Symbol.dispose]());

describe("an image in a registry", () => {
  it("is the one that skopeo put there, by tag and by digest", async () => {
    const { layout } = await busyboxImage();
    await using local = await openImage(`oci-layout:${layout}:latest`);
    const byTag = await pull(`${registry.host}/team/busybox:oci`);
    expect(byTag).toEqual({
      manifestDigest: local.manifestDigest,
      configDigest: local.configDigest,
      diffIds: local.layers.map(({ diffId }) => diffId),
    });
    expect(await pull(`${registry.host}/team/busybox@${byTag.manifestDigest}`)).toEqual(byTag);
    expect(await pull(`${registry.host}/team/busybox:absent@${byTag.manifestDigest}`)).toEqual(byTag);
  });

  it("may have docker's documents", async () => {
    const docker = await pull(`${registry.host}/team/busybox:docker`);
    const oci = await pull(`${registry.host}/team/busybox:oci`);
    expect(docker.diffIds).toEqual(oci.diffIds);
    expect(docker.manifestDigest).not.toBe(oci.manifestDigest);
  });

  it("has the digest that skopeo reads", async () => {
    const name = `docker://${registry.host}/team/busybox:docker`;
    const { stdout } = await execa("skopeo", ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", name]);
    expect((await pull(`${registry.host}/team/busybox:docker`)).manifestDigest).toBe(stdout);
  });

  it("may be one that buildah built and pushed", async () => {
    const built = await packedAs("buildah", await busyboxImage());
    await pushFrom(built, `${registry.host}/team/built:1`);
    await using image = await openImage(`${registry.host}/team/built:1`);
    expect(image.config.config).toMatchObject({ User: "app", WorkingDir: "/tmp" });
    await pull(`${registry.host}/team/built:1`);
  });

  it.each(["team/busybox:absent", "team/absent:1", `team/busybox@sha256:${"0".repeat(64)}`])(
    "that is not there is reported: %s",
    async (name) => {
      const pulling = pull(`${registry.host}/${name}`);
      await expect(pulling).rejects.toThrow(ImageNotFoundError);
      await expect(pulling).rejects.toThrow(/does not exist/);
    },
  );
});
