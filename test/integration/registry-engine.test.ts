import { mkdtempSync, rmSync } from "node:fs";
import { access } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa, execaSync } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { ImageNotFoundError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { busyboxImage } from "../support/images.js";
import { freshClient, pull } from "../support/registry/client.js";

const hasPodman = execaSync("podman", ["--version"], { reject: false }).exitCode === 0;

/** Podman has docker's interface too, so it stands for both here. */
describe.skipIf(!hasPodman)("a real engine", () => {
  let folder: string;
  let service: PromiseLike<unknown> & { kill(): boolean };
  let client: ReturnType<typeof freshClient>;
  let id: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "supermachine-podman-"));
    const stores = ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
    const { layout } = await busyboxImage();
    const pulled = await execa("podman", [...stores, "pull", "--quiet", `oci:${layout}:latest`]);
    id = pulled.stdout;
    await execa("podman", [...stores, "tag", id, "localhost/mine:1", "docker.io/library/busybox:2"]);
    const socket = `unix://${join(folder, "podman.sock")}`;
    service = execa("podman", [...stores, "system", "service", "--time=120", socket], { reject: false });
    // The socket is there before it is served; who connects then waits.
    await vi.waitFor(() => access(join(folder, "podman.sock")), { timeout: 20_000 });
  });
  afterAll(async () => {
    service?.kill();
    await service;
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    client = freshClient();
    vi.stubEnv("CONTAINER_HOST", `unix://${join(folder, "podman.sock")}`);
    vi.stubEnv("DOCKER_HOST", `unix://${join(folder, "podman.sock")}`);
  });
  afterEach(() => client[Symbol.dispose]());

  it("gives an image by each of its names and by its id", async () => {
    const { layout } = await busyboxImage();
    await using local = await openImage(`oci-layout:${layout}:latest`);
    const names = ["podman:mine:1", "podman:localhost/mine:1", "podman:busybox:2", "docker:busybox:2", `podman:${id}`];
    for (const name of names) {
      const { configDigest, diffIds } = await pull(name);
      expect({ configDigest, diffIds }).toEqual({
        configDigest: local.configDigest,
        diffIds: local.layers.map(({ diffId }) => diffId),
      });
    }
  });

  it("has not what it has not", async () => {
    await expect(openImage("podman:absent:1")).rejects.toThrow(ImageNotFoundError);
  });
});
