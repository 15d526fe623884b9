import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type ProgressEvent, pushImage, RegistryAuthError, UsageError } from "../../src/index.js";
import { openImage } from "../../src/oci/index.js";
import { busyboxImage, packedAs } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { LayoutBuilder, tagged } from "../support/layout-builder.js";
import { type KeyPair, makeAuthority, makeServerCertificate, makeSigner } from "../support/registry/certificates.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { copy, freshClient, IMPATIENT, pull } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import { startFaultProxy } from "../support/registry/fault-proxy.js";
import { startTokenServer } from "../support/registry/token-server.js";

const USER = { username: "ada", password: "s3cret" };
const cleanup = new Cleanup();
let client: ReturnType<typeof freshClient>;
let keys: string;
let registry: TestRegistry;
let busybox: string;
beforeAll(async () => {
  keys = mkdtempSync(join(tmpdir(), "supermachine-keys-"));
  registry = cleanup.use(await startRegistry());
  busybox = `oci-layout:${(await busyboxImage()).layout}:latest`;
});
afterAll(async () => {
  await cleanup.end();
  rmSync(keys, { recursive: true, force: true });
});
beforeEach(() => {
  client = freshClient();
});
afterEach(() => client[Symbol.dispose]());

/** The digest that skopeo computes of what the registry gives for a name. */
async function rawDigest(name: string, ...options: string[]): Promise<string> {
  const { stdout } = await execa("skopeo", ["inspect", "--raw", "--tls-verify=false", ...options, `docker://${name}`], {
    stripFinalNewline: false,
  });
  return `sha256:${createHash("sha256").update(stdout).digest("hex")}`;
}

describe("an image that is pushed", () => {
  it("keeps its digest, and is what skopeo and we pull", async () => {
    await using local = await openImage(busybox);
    const name = `${registry.host}/push/${randomUUID()}:1`;
    const pushed = await pushImage(busybox, name);
    expect(pushed.digest).toBe(local.manifestDigest);
    expect(pushed.reference).toBe(`${name}@${local.manifestDigest}`);
    expect(pushed.blobs).toEqual({ pushed: 2, present: 0, mounted: 0 });
    expect(await rawDigest(name)).toBe(local.manifestDigest);
    expect((await pull(pushed.reference)).manifestDigest).toBe(local.manifestDigest);
    using folder = temporaryFolder();
    const to = `oci:${folder.path}/copy:1`;
    await execa("skopeo", [
      ...["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"],
      ...[`docker://${name}`, to],
    ]);
    await execa("umoci", ["unpack", "--image", `${folder.path}/copy:1`, join(folder.path, "bundle")]);
  });

  it("is not sent a second time, and not between repositories of one registry", async () => {
    const name = `${registry.host}/push/${randomUUID()}`;
    const first = await pushImage(busybox, `${name}:1`);
    const again = await pushImage(busybox, `${name}:2`);
    expect(again.blobs).toEqual({ pushed: 0, present: 2, mounted: 0 });
    const other = await pushImage(first.reference, `${name}-other:1`);
    expect(other).toMatchObject({ digest: first.digest, blobs: { pushed: 0, present: 0, mounted: 2 } });
    expect((await pull(`${name}-other:1`)).manifestDigest).toBe(first.digest);
  });

  it.each(["docker-archive", "oci-archive", "buildah"] as const)("may come as %s", async (form) => {
    const source = await packedAs(form, await busyboxImage());
    const pushed = await pushImage(source, `${registry.host}/push/${form}:1`);
    expect((await pull(pushed.reference)).manifestDigest).toBe(pushed.digest);
    expect(await rawDigest(`${registry.host}/push/${form}:1`)).toBe(pushed.digest);
  });

  it("may be named by its digest, and not by another", async () => {
    const { digest } = await pushImage(busybox, `${registry.host}/push/by-tag:1`);
    const pushed = await pushImage(busybox, `${registry.host}/push/by-digest@${digest}`);
    expect((await pull(pushed.reference)).manifestDigest).toBe(digest);
    const wrong = `${registry.host}/push/by-digest@sha256:${"0".repeat(64)}`;
    await expect(pushImage(busybox, wrong)).rejects.toThrow(UsageError);
  });

  it("is of one platform, or of all with everything below", async () => {
    using folder = temporaryFolder();
    const builder = new LayoutBuilder();
    const forPlatform = (architecture: string) =>
      builder.image({ config: { architecture } }, { platform: { os: "linux", architecture } });
    const [amd, arm] = [forPlatform("amd64"), forPlatform("arm64")];
    const outer = builder.index([builder.index([amd]), arm], tagged("many"));
    builder.root([outer]).writeTo(folder.path);
    const source = `oci-layout:${folder.path}:many`;
    const name = `${registry.host}/push/many`;
    expect((await pushImage(source, `${name}:arm`, { platform: "linux/arm64" })).digest).toBe(arm.digest);
    expect((await pushImage(source, `${name}:all`, { all: true })).digest).toBe(outer.digest);
    expect(await rawDigest(`${name}:all`)).toBe(outer.digest);
    expect(await rawDigest(`${name}@${amd.digest}`)).toBe(amd.digest);
    await expect(pushImage(source, `${name}:x`, { platform: "linux/s390x" })).rejects.toThrow(/amd64, linux\/arm64/);
    await expect(pushImage(source, `${name}:x`, { platform: "linux/arm64", all: true })).rejects.toThrow(UsageError);
  });

  it("is streamed, with its progress told", async () => {
    using folder = temporaryFolder();
    const builder = new LayoutBuilder();
    const layer = randomBytes(3_000_000);
    builder.root([builder.image({ layers: [layer] })]).writeTo(folder.path);
    const events: ProgressEvent[] = [];
    await pushImage(`oci-layout:${folder.path}`, `${registry.host}/push/large:1`, {
      onProgress: (e) => events.push(e),
    });
    const own = events.filter(({ total }) => total === layer.length);
    expect(own[0]).toMatchObject({ phase: "push", done: 0 });
    expect(own.at(-1)).toMatchObject({ phase: "push", done: layer.length, finished: true });
    expect(own.length).toBeGreaterThan(3);
    const bytes = own.map(({ done = 0 }) => done);
    expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
  });
});

describe("a registry that is not open", () => {
  let authority: KeyPair;
  beforeAll(async () => {
    authority = await makeAuthority(keys);
  });

  it("may speak TLS and want a password", async () => {
    const tls = await makeServerCertificate(keys, authority, ["DNS:localhost"]);
    const closed = cleanup.use(await startRegistry({ tls, users: { [USER.username]: USER.password } }));
    const target = `${closed.host}/push/secure:1`;
    await expect(copy(busybox, target, { registryAuth: USER })).rejects.toThrow(/certificate/);
    vi.stubEnv("SUPERMACHINE_REGISTRY_CA", authority.certificate);
    await copy(busybox, target, { registryAuth: USER });
    const failure = await copy(busybox, target, { registryAuth: { ...USER, password: "wr0ng" } }).catch((e) => e);
    expect(failure).toBeInstanceOf(RegistryAuthError);
    expect(failure.message).toMatch(/pushed/);
    const shown = inspect(failure, { depth: 10, showHidden: true });
    for (const secret of ["wr0ng", Buffer.from("ada:wr0ng").toString("base64")]) expect(shown).not.toContain(secret);
  });

  it("may want tokens: for pull and push here, for pull where a blob is taken over from", async () => {
    const tokens = cleanup.use(await startTokenServer(await makeSigner(keys), { users: { ada: "s3cret" } }));
    tokens.options.isClosed = true;
    const closed = cleanup.use(await startRegistry({ tokens }));
    const from = `${closed.host}/push/one:1`;
    await copy(busybox, from, { registryAuth: USER });
    expect(tokens.asked.at(-1)?.parameters.getAll("scope")).toEqual(["repository:push/one:pull,push"]);
    const mounted = await copy(from, `${closed.host}/push/two:1`, { registryAuth: USER, sourceAuth: USER });
    expect(mounted.blobs).toMatchObject({ mounted: 2 });
    expect(tokens.asked.at(-1)?.parameters.getAll("scope")).toEqual([
      "repository:push/two:pull,push",
      "repository:push/one:pull",
    ]);
    await expect(copy(busybox, from)).rejects.toThrow(RegistryAuthError);
  });

  it("is the one that was named, never its mirror", async () => {
    const mirror = cleanup.use(await startFaultProxy(registry.port));
    vi.stubEnv("SUPERMACHINE_REGISTRY_MIRRORS", `${registry.host}=http://${mirror.host}`);
    await copy(busybox, `${registry.host}/push/not-to-a-mirror:1`, { network: IMPATIENT });
    expect(mirror.seen).toEqual([]);
  });
});
