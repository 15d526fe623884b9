import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ImageError, ImageNotFoundError, NetworkError, UsageError } from "../../src/errors.js";
import { engineSocket } from "../../src/oci/engine-socket.js";
import { openImage } from "../../src/oci/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { LayoutBuilder, tagged } from "../support/layout-builder.js";
import { type FakeEngine, startFakeEngine } from "../support/registry/fake-engine.js";

const NAME = "docker.io/library/alpine:3.20";

let folder: ReturnType<typeof temporaryFolder>;
let engine: FakeEngine | undefined;
let socket: string;
beforeEach(() => {
  folder = temporaryFolder();
  socket = join(folder.path, "engine.sock");
  vi.stubEnv("SUPERMACHINE_HOME", join(folder.path, "home"));
  vi.stubEnv("DOCKER_HOST", `unix://${socket}`);
  vi.stubEnv("CONTAINER_HOST", `unix://${socket}`);
});
afterEach(async () => {
  await engine?.[Symbol.asyncDispose]();
  engine = undefined;
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

function archiveOf(label: string): { archive: Buffer; digest: string } {
  const builder = new LayoutBuilder();
  const image = builder.image({ config: { config: { Labels: { label } } } }, tagged("3.20"));
  builder.root([image]);
  return { archive: builder.toTar(), digest: image.digest };
}

function kept(): string[] {
  return readdirSync(join(folder.path, "home/blobs/engine"));
}

describe("an image in a local engine", () => {
  it.each(["docker:alpine:3.20", "podman:alpine:3.20", `docker:${NAME}`])("is read as %s", async (source) => {
    const { archive, digest } = archiveOf("engine");
    engine = await startFakeEngine(socket, { [NAME]: archive });
    await using image = await openImage(source);
    expect(image.manifestDigest).toBe(digest);
    expect(engine.asked).toEqual([`/images/${NAME}/get`]);
    const [layer] = image.layers;
    expect(Buffer.concat(await (await layer!.open()).toArray())).toHaveLength(layer!.size);
  });

  it("leaves no file behind, not even while it is open", async () => {
    engine = await startFakeEngine(socket, { [NAME]: archiveOf("engine").archive });
    await using _image = await openImage("docker:alpine:3.20");
    expect(kept()).toEqual([]);
  });

  it("is found by its id", async () => {
    const id = `sha256:${"ab".repeat(32)}`;
    engine = await startFakeEngine(socket, { [id]: archiveOf("engine").archive });
    await using image = await openImage(`docker:${id}`);
    expect(image.config.config.Labels?.label).toBe("engine");
  });

  it("may be one that podman built itself", async () => {
    engine = await startFakeEngine(socket, { "localhost/mine:latest": archiveOf("own").archive });
    await using image = await openImage("podman:mine");
    expect(image.config.config.Labels?.label).toBe("own");
  });

  it("that is not there is reported", async () => {
    engine = await startFakeEngine(socket, {});
    await expect(openImage("docker:absent")).rejects.toThrow(ImageNotFoundError);
    await expect(openImage("docker:absent")).rejects.toThrow(/docker has no such image[\s\S]*docker images/);
    expect(kept()).toEqual([]);
  });

  it("an engine that fails is reported", async () => {
    engine = await startFakeEngine(socket, {}, (_request, response) => Boolean(response.writeHead(500).end()));
    await expect(openImage("docker:alpine")).rejects.toThrow(/docker answered 500/);
  });

  it("an archive that breaks off is not taken for a whole one", async () => {
    const { archive } = archiveOf("engine");
    engine = await startFakeEngine(socket, {}, (_request, response) => {
      response.writeHead(200);
      response.write(archive.subarray(0, 2000), () => setImmediate(() => response.destroy()));
      return true;
    });
    await expect(openImage("docker:alpine")).rejects.toThrow(NetworkError);
    expect(kept()).toEqual([]);
  });

  it("an archive without an image is refused", async () => {
    engine = await startFakeEngine(socket, { [NAME]: Buffer.alloc(1024) });
    await expect(openImage("docker:alpine:3.20")).rejects.toThrow(ImageError);
    expect(kept()).toEqual([]);
  });

  it("is not waited for when it is no longer wanted", async () => {
    engine = await startFakeEngine(socket, {}, () => true);
    const opening = openImage("docker:alpine", { signal: AbortSignal.timeout(50) });
    await expect(opening).rejects.toThrow(/timeout/i);
    expect(kept()).toEqual([]);
  });

  it("an engine that does not run is reported, with what to do", async () => {
    await expect(openImage("docker:alpine")).rejects.toThrow(NetworkError);
    await expect(openImage("docker:alpine")).rejects.toThrow(/ENOENT[\s\S]*Start docker/);
  });
});

describe("the socket of an engine", () => {
  const at = (path: string) => {
    mkdirSync(join(folder.path, path, ".."), { recursive: true });
    return join(folder.path, path);
  };

  it("is what the environment says", () => {
    expect(engineSocket("docker", { DOCKER_HOST: "unix:///some/where.sock" })).toBe("/some/where.sock");
    expect(engineSocket("podman", { CONTAINER_HOST: "unix:///some/where.sock" })).toBe("/some/where.sock");
  });

  it.each(["tcp://10.0.0.1:2375", "ssh://me@there", "unix://relative"])("cannot be %s", (DOCKER_HOST) => {
    expect(() => engineSocket("docker", { DOCKER_HOST })).toThrow(UsageError);
  });

  it("is podman's in the user's run folder", () => {
    const path = at("podman/podman.sock");
    mkdirSync(path);
    expect(engineSocket("podman", { XDG_RUNTIME_DIR: folder.path })).toBe(path);
  });

  it("that does not exist is reported with the places", () => {
    const places = () => engineSocket("podman", { XDG_RUNTIME_DIR: folder.path });
    expect(places).toThrow(NetworkError);
    expect(places).toThrow(/podman is not running here: there is no .*podman\.sock/);
  });
});
