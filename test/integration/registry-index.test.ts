import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ImageError, RegistryAuthError } from "../../src/errors.js";
import { openImage, type Platform } from "../../src/oci/index.js";
import { LayoutBuilder, type TestDescriptor, TYPES } from "../support/layout-builder.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { freshClient, IMPATIENT, pull } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import { type FaultProxy, firstTimes, startFaultProxy, status } from "../support/registry/fault-proxy.js";
import { putLayout } from "../support/registry/put.js";

const cleanup = new Cleanup();
let registry: TestRegistry;
let client: ReturnType<typeof freshClient>;
let builder: LayoutBuilder;
beforeAll(async () => {
  registry = cleanup.use(await startRegistry());
});
afterAll(() => cleanup.end());
beforeEach(() => {
  client = freshClient();
  builder = new LayoutBuilder();
});
afterEach(() => client[Symbol.dispose]());

function forPlatform(architecture: string, variant?: string): TestDescriptor {
  const platform = { os: "linux", architecture, ...(variant && { variant }) };
  const label = architecture + (variant ?? "");
  return builder.image({ config: { architecture, config: { Labels: { label } } } }, { platform });
}

async function labelOf(reference: string, platform: Platform): Promise<string | undefined> {
  await using image = await openImage(reference, { platform, network: IMPATIENT });
  return image.config.config.Labels?.label;
}

const linux = (architecture: string, variant?: string): Platform => ({ os: "linux", architecture, variant });

describe("an index in a registry", () => {
  it.each([
    ["OCI's", TYPES.index],
    ["docker's", TYPES.dockerList],
  ])("of %s kind gives the image for the platform, by tag and by digest", async (_whose, type) => {
    const images = [forPlatform("amd64"), forPlatform("arm64"), forPlatform("arm", "v6"), forPlatform("arm", "v7")];
    const index = builder.index(images, {}, type);
    const name = `${registry.host}/team/many`;
    await putLayout(builder, registry.host, "team/many", [...images, index], "1");
    for (const reference of [`${name}:1`, `${name}@${index.digest}`]) {
      expect(await labelOf(reference, linux("arm64", "v8"))).toBe("arm64");
      expect(await labelOf(reference, linux("arm"))).toBe("armv7");
      expect(await labelOf(reference, linux("arm", "v6"))).toBe("armv6");
    }
    expect(await labelOf(`${name}@${images[0]?.digest}`, linux("amd64"))).toBe("amd64");
  });

  it("may be nested", async () => {
    const images = [forPlatform("amd64"), forPlatform("arm64")];
    const inner = builder.index(images);
    const outer = builder.index([inner]);
    await putLayout(builder, registry.host, "team/nested", [...images, inner, outer], "1");
    expect(await labelOf(`${registry.host}/team/nested:1`, linux("arm64"))).toBe("arm64");
  });

  it("without our platform says which ones it has", async () => {
    const images = [forPlatform("s390x"), forPlatform("arm", "v7")];
    const index = builder.index(images);
    await putLayout(builder, registry.host, "team/foreign", [...images, index], "1");
    const finding = labelOf(`${registry.host}/team/foreign:1`, linux("amd64"));
    await expect(finding).rejects.toThrow(ImageError);
    await expect(finding).rejects.toThrow(/is for linux\/s390x, linux\/arm\/v7, not for linux\/amd64/);
  });
});

describe("a manifest that lies", () => {
  it("about a layer's size is found out before the layer is read", async () => {
    const bytes = Buffer.alloc(4096, "x");
    const image = builder.image({ layers: [{ bytes, descriptor: { size: 5000 } }] });
    await putLayout(builder, registry.host, "team/liar", [image], "size");
    await expect(pull(`${registry.host}/team/liar:size`)).rejects.toThrow(/has 4096 bytes instead of 5000/);
  });

  it("about its config's size is found out", async () => {
    const image = builder.image();
    const manifest = JSON.parse(builder.files.get(`blobs/${image.digest.replace(":", "/")}`)!.toString());
    manifest.config.size -= 10;
    const liar = builder.blob(manifest, TYPES.manifest);
    await putLayout(builder, registry.host, "team/liar", [liar], "config");
    await expect(pull(`${registry.host}/team/liar:config`)).rejects.toThrow(/config sha256:\w+ .* is longer than/);
  });

  it("about its config's digest is found out", async () => {
    const other = builder.blob({ not: "a config" }, TYPES.config);
    const image = builder.image({ manifest: { config: other } });
    await putLayout(builder, registry.host, "team/liar", [image], "digest");
    await expect(pull(`${registry.host}/team/liar:digest`)).rejects.toThrow(/config sha256:\w+ .* is malformed/);
  });
});

describe("a token that the registry no longer takes", () => {
  let proxy: FaultProxy;
  beforeAll(async () => {
    proxy = cleanup.use(await startFaultProxy(registry.port));
  });

  /** The proxy stands for registry and token server: `goodFor` requests, then a token is refused. */
  function wantTokens(goodFor: number): { given: () => number } {
    const left = new Map<string, number>();
    const realm = `Bearer realm="http://${proxy.host}/token",service="a \\"quoted\\", service",error="x"`;
    proxy.faults = [
      ({ path }, response) => {
        if (!path.startsWith("/token")) return false;
        const token = `token-${left.size + 1}`;
        left.set(`Bearer ${token}`, goodFor);
        response.writeHead(200).end(JSON.stringify({ token, expires_in: 3600 }));
        return true;
      },
      ({ headers }, response) => {
        const uses = left.get(headers.authorization ?? "") ?? 0;
        left.set(headers.authorization ?? "", uses - 1);
        if (uses > 0) return false;
        response.writeHead(401, { "www-authenticate": realm }).end();
        return true;
      },
    ];
    return { given: () => [...left.keys()].filter((key) => key !== "").length };
  }

  it("is replaced by a new one, within a pull too", async () => {
    const image = builder.image();
    await putLayout(builder, registry.host, "team/token", [image], "1");
    const { given } = wantTokens(1);
    await pull(`${proxy.host}/team/token:1`);
    expect(given()).toBe(3);
    expect(proxy.seen.find(({ path }) => path.startsWith("/token"))?.path).toContain(
      "service=a+%22quoted%22%2C+service",
    );
  });

  it("is replaced once, not for ever", async () => {
    wantTokens(0);
    proxy.seen.length = 0;
    await expect(pull(`${proxy.host}/team/other:1`)).rejects.toThrow(RegistryAuthError);
    expect(proxy.seen.filter(({ path }) => path.startsWith("/token"))).toHaveLength(1);
  });

  it.each([429, 503])("is asked for again when the token server answers %i", async (code) => {
    wantTokens(9);
    proxy.faults.unshift(firstTimes(2, ({ path }) => path.startsWith("/token"), status(code)));
    const image = builder.image();
    const name = `team/busy-${randomUUID()}`;
    await putLayout(builder, registry.host, name, [image], "1");
    await pull(`${proxy.host}/${name}:1`);
  });

  it.each([
    ["http://tokens.invalid/", /over plain HTTP/],
    ["file:///etc/passwd", /not a URL/],
    ["https://user:secret@tokens.invalid/", /not a URL/],
  ])("is not asked for at %s", async (realm, message) => {
    proxy.faults = [status(401, { "www-authenticate": `Bearer realm="${realm}",service="x"` })];
    await expect(pull(`${proxy.host}/team/realm:1`)).rejects.toThrow(message);
  });

  it.each(["", "Negotiate", 'Digest realm="x"', 'Bearer service="no realm"'])(
    "is not known for the challenge %j",
    async (challenge) => {
      proxy.faults = [status(401, { "www-authenticate": challenge })];
      await expect(pull(`${proxy.host}/team/realm:1`)).rejects.toThrow(/of a kind that is not known here/);
    },
  );
});
