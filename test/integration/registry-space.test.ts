import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { NoSpaceError } from "../../src/errors.js";
import { LayoutBuilder } from "../support/layout-builder.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { freshClient, pull } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import { startFakeEngine } from "../support/registry/fake-engine.js";
import { putLayout } from "../support/registry/put.js";

/** Only root can mount a disk that is soon full. */
const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)("without space", () => {
  const cleanup = new Cleanup();
  const builder = new LayoutBuilder();
  let registry: TestRegistry;
  let client: ReturnType<typeof freshClient>;
  let home: string;
  beforeAll(async () => {
    registry = cleanup.use(await startRegistry());
    const image = builder.image({ config: { comment: "x".repeat(100_000) } });
    builder.root([image]);
    await putLayout(builder, registry.host, "team/large", [image], "1");
  });
  afterAll(() => cleanup.end());
  beforeEach(async () => {
    client = freshClient();
    home = join(client.folder, "small");
    mkdirSync(home);
    await execa("mount", ["-t", "tmpfs", "-o", "size=64k", "supermachine-test", home]);
    vi.stubEnv("SUPERMACHINE_HOME", home);
  });
  afterEach(async () => {
    await execa("umount", ["--lazy", home]);
    client[Symbol.dispose]();
  });

  it("a document is not kept in part, and what is wrong is said", async () => {
    const pulling = pull(`${registry.host}/team/large:1`);
    await expect(pulling).rejects.toThrow(NoSpaceError);
    await expect(pulling).rejects.toThrow(/no space left[\s\S]*SUPERMACHINE_HOME/);
    // The manifest alone.
    expect(readdirSync(join(home, "blobs/sha256"))).toHaveLength(1);
  });

  it("nothing at all can be kept", async () => {
    writeFileSync(join(home, "ballast"), Buffer.alloc(60 * 1024));
    await expect(pull(`${registry.host}/team/large:1`)).rejects.toThrow(/no space left/);
  });

  it("an engine's archive is not left behind in part", async () => {
    const socket = join(client.folder, "engine.sock");
    await using _engine = await startFakeEngine(socket, { "docker.io/library/large:1": builder.toTar() });
    vi.stubEnv("DOCKER_HOST", `unix://${socket}`);
    await expect(pull("docker:large:1")).rejects.toThrow(/no space left/);
    expect(readdirSync(join(home, "blobs/engine"))).toEqual([]);
  });
});
