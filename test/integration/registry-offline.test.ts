import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { CacheMissError, ImageNotFoundError, RegistryUnreachableError, UsageError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { busyboxImage, packedAs } from "../support/images.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { freshClient, IMPATIENT, pull } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import { type FaultProxy, firstTimes, startFaultProxy, status } from "../support/registry/fault-proxy.js";
import { pushBusybox, pushFrom } from "../support/registry/push.js";

const cleanup = new Cleanup();
let registry: TestRegistry;
let proxy: FaultProxy;
let client: ReturnType<typeof freshClient>;
let image: string;
beforeAll(async () => {
  registry = cleanup.use(await startRegistry());
  proxy = cleanup.use(await startFaultProxy(registry.port));
  image = `${proxy.host}/team/busybox:1`;
});
afterAll(() => cleanup.end());
beforeEach(async () => {
  client = freshClient();
  proxy.faults = [];
  await pushBusybox(`${registry.host}/team/busybox:1`);
  proxy.seen.length = 0;
});
afterEach(() => client[Symbol.dispose]());

/** Its documents only: what a bake needs when its layers are converted already. */
async function find(reference = image, options = {}): Promise<string> {
  await using opened = await openImage(reference, { network: IMPATIENT, ...options });
  return opened.manifestDigest;
}

/** Nothing listens any more. */
async function withoutRegistry(use: () => Promise<void>): Promise<void> {
  await proxy[Symbol.asyncDispose]();
  try {
    await use();
  } finally {
    proxy = cleanup.use(await startFaultProxy(registry.port));
    image = `${proxy.host}/team/busybox:1`;
  }
}

async function moveTag(): Promise<void> {
  await pushFrom(await packedAs("umoci", await busyboxImage()), `${registry.host}/team/busybox:1`);
}

const requests = () => proxy.seen.filter(({ path }) => path !== "/v2/").map(({ method }) => method);

describe("a tag that was asked for before", () => {
  it("is not asked for again within its time", async () => {
    const first = await find();
    proxy.seen.length = 0;
    await moveTag();
    expect(await find()).toBe(first);
    expect(proxy.seen).toEqual([]);
  });

  it("is only asked about after that, and not fetched when it has not moved", async () => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_REF_CACHE_TTL_MS", "0");
    const first = await find();
    proxy.seen.length = 0;
    expect(await find()).toBe(first);
    expect(requests()).toEqual(["HEAD"]);
  });

  it.each([
    ["after its time", "0", "missing" as const],
    ["under always", "60000", "always" as const],
  ])("is found moved %s", async (_when, ttl, policy) => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_REF_CACHE_TTL_MS", ttl);
    const first = await find();
    await moveTag();
    const second = await find(image, { pull: policy });
    expect(second).not.toBe(first);
    expect(await find(image, { pull: "never" })).toBe(second);
  });

  it("is fetched where the registry answers no HEAD", async () => {
    const first = await find();
    proxy.faults = [firstTimes(9, ({ method }) => method === "HEAD", status(405))];
    expect(await find(image, { pull: "always" })).toBe(first);
    expect(requests().at(-1)).toBe("GET");
  });

  it("is gone when the registry says so", async () => {
    await find();
    proxy.faults = [firstTimes(9, ({ path }) => path.includes("/manifests/"), status(404))];
    await expect(find(image, { pull: "always" })).rejects.toThrow(ImageNotFoundError);
  });

  it("needs a time that is a number", async () => {
    await find();
    vi.stubEnv("SUPERMACHINE_REGISTRY_REF_CACHE_TTL_MS", "1 minute");
    await expect(find()).rejects.toThrow(UsageError);
  });
});

describe("without the registry", () => {
  it("what is here is used, however old it is; under always it is not", async () => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_REF_CACHE_TTL_MS", "0");
    const first = await find();
    await withoutRegistry(async () => {
      expect(await find()).toBe(first);
      await expect(find(image, { pull: "always" })).rejects.toThrow(RegistryUnreachableError);
    });
  });

  it("what is here is used when the registry can only say that it has a problem", async () => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_REF_CACHE_TTL_MS", "0");
    const first = await find();
    proxy.faults = [status(503)];
    expect(await find()).toBe(first);
  });

  it("a layer that is not here fails when it is read", async () => {
    await find();
    await withoutRegistry(async () => {
      await using opened = await openImage(image, { network: IMPATIENT });
      await expect(opened.layers[0]!.open()).rejects.toThrow(RegistryUnreachableError);
      await expect(opened.layers[0]!.open()).rejects.toThrow(/layer sha256:\w+ of localhost/);
    });
  });

  it("what was never pulled is not found", async () => {
    const { host } = proxy;
    await withoutRegistry(async () => {
      await expect(find(`${host}/team/other:1`)).rejects.toThrow(RegistryUnreachableError);
    });
  });
});

describe("under never", () => {
  const never = { pull: "never" as const };

  it("an image that was never pulled is missed, and the registry not asked", async () => {
    await expect(find(image, never)).rejects.toThrow(CacheMissError);
    await expect(find(`${proxy.host}/x@sha256:${"1".repeat(64)}`, never)).rejects.toThrow(CacheMissError);
    expect(proxy.seen).toEqual([]);
  });

  it("an image that was pulled is found, by its digest too", async () => {
    const digest = await find();
    proxy.seen.length = 0;
    expect(await find(image, never)).toBe(digest);
    expect(await find(`${proxy.host}/team/busybox@${digest}`, never)).toBe(digest);
    expect(proxy.seen).toEqual([]);
  });

  it("a layer is not fetched", async () => {
    await find();
    await using opened = await openImage(image, never);
    await expect(opened.layers[0]!.open()).rejects.toThrow(CacheMissError);
  });

  it("a policy that does not exist is named", async () => {
    await expect(find(image, { pull: "sometimes" })).rejects.toThrow(UsageError);
  });
});

describe("what is kept", () => {
  const blobs = () => join(client.folder, "home/blobs");

  it("is not believed when it was changed", async () => {
    const digest = await find();
    for (const name of readdirSync(join(blobs(), "sha256"))) {
      const path = join(blobs(), "sha256", name);
      writeFileSync(path, readFileSync(path).subarray(1));
    }
    await expect(find(image, { pull: "never" })).rejects.toThrow(CacheMissError);
    expect(await find()).toBe(digest);
    expect(await find(image, { pull: "never" })).toBe(digest);
  });

  it("is not joined for ever by what a killed process left", async () => {
    mkdirSync(join(blobs(), "sha256"), { recursive: true });
    writeFileSync(join(blobs(), "sha256", `${"a".repeat(64)}.partial`), "half");
    await find();
    expect(readdirSync(join(blobs(), "sha256")).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });

  it("is asked for anew when the note of a tag is damaged", async () => {
    const digest = await find();
    const [name] = readdirSync(join(blobs(), "refs"));
    writeFileSync(join(blobs(), "refs", name!), "{");
    expect(await find()).toBe(digest);
  });

  it("is documents alone, in whole files", async () => {
    await Promise.all([pull(image), pull(image), pull(image)]);
    expect(readdirSync(join(blobs(), "sha256"))).toHaveLength(2);
    expect(readdirSync(join(blobs(), "refs"))).toHaveLength(1);
  });
});
