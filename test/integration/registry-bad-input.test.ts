import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { ImageError, ImageNotFoundError, RegistryAuthError, RegistryUnreachableError } from "../../src/errors.js";
import { type BakeOptions, Image } from "../../src/index.js";
import { capture } from "../cli/streams.js";
import { LayoutBuilder, sha256Of, type TestImage, TYPES } from "../support/layout-builder.js";
import { litter } from "../support/leftovers.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import {
  change,
  type Fault,
  firstTimes,
  isManifest,
  startFaultProxy,
  status,
} from "../support/registry/fault-proxy.js";
import { freePort } from "../support/registry/ports.js";
import { proxiedRegistry, USER } from "../support/registry/proxied.js";
import { putLayout } from "../support/registry/put.js";
import { tlsRegistry } from "../support/registry/tls-registry.js";
import { TarBuilder } from "../support/tar-builder.js";
import { freshHome } from "../support/test-home.js";

const sharedHome = process.env.SUPERMACHINE_HOME;
const ANSWERS = 1_000;
const MANY = 4 * 1024 ** 3;
const BAD = { username: USER.username, password: "wr0ng-but-secret" };

/** A registry with a password, behind a proxy that can do anything. */
const locked = proxiedRegistry();
const cleanup = new Cleanup();
let open: TestRegistry;
let home: ReturnType<typeof freshHome>;
let log: ReturnType<typeof capture>;
beforeAll(async () => {
  open = cleanup.use(await startRegistry());
});
afterAll(() => cleanup.end());
beforeEach(() => {
  vi.stubEnv("SUPERMACHINE_HOME", sharedHome);
  home = freshHome();
  vi.stubEnv("SUPERMACHINE_LOG", "debug");
  log = capture("stderr");
});
afterEach(() => {
  vi.restoreAllMocks();
  home[Symbol.dispose]();
});

/** Puts an image, right or wrong, into the open registry, and gives its name. */
async function put(image: TestImage, tag: string): Promise<string> {
  const builder = new LayoutBuilder();
  await putLayout(builder, open.host, "bad/image", [builder.image(image)], tag);
  return `${open.host}/bad/image:${tag}`;
}

const authorized: Parameters<typeof firstTimes>[1] = (seen) => isManifest(seen) && !!seen.headers.authorization;

/** The locked registry's image, with a fault in the way. */
function faulty(fault: Fault, when = authorized): () => Promise<Attempt> {
  return async () => {
    locked.proxy.faults = [firstTimes(ANSWERS, when, fault)];
    return [locked.image, { registryAuth: USER }];
  };
}

function document(type: string, body: string | Buffer, headers: Record<string, string> = {}): Fault {
  return (_seen, response) => {
    response.writeHead(200, { "content-type": type, ...headers }).end(body);
    return true;
  };
}

type Attempt = [reference: string, options?: BakeOptions];
type Row = [what: string, kind: new (...rest: never[]) => Error, says: RegExp, attempt: () => Promise<Attempt>];

const layer = new TarBuilder().file("hello", "x".repeat(5_000)).finish();
const bomb = new TarBuilder().file("zeros", Buffer.alloc(40 * 1024 ** 2)).finish();
const packed = "application/vnd.oci.image.layer.v1.tar+gzip";

const rows: Row[] = [
  ["a tag that is not there", ImageNotFoundError, /does not exist/, async () => [`${open.host}/bad/image:absent`]],
  [
    "no such repository",
    ImageNotFoundError,
    /no such repository|does not have it/,
    async () => [`${open.host}/none:1`],
  ],
  ["a 404 with credentials", ImageNotFoundError, /does not exist/, faulty(status(404))],
  ["a 401 without credentials", RegistryAuthError, /wants a user name and a password/, async () => [locked.image]],
  ["a 401 for wrong credentials", RegistryAuthError, /401/, async () => [locked.image, { registryAuth: BAD }]],
  [
    "a 401 with what was granted",
    RegistryAuthError,
    /401/,
    faulty(status(401, { "www-authenticate": "Basic realm=x" })),
  ],
  ["a 403", RegistryAuthError, /403.*access is denied/, faulty(status(403))],
  ["an unknown host", RegistryUnreachableError, /no host of that name|looked up/, async () => ["registry.invalid/a:1"]],
  ["a refused connection", RegistryUnreachableError, /refused/, async () => [`localhost:${await freePort()}/a:1`]],
  ["a certificate nobody vouches for", RegistryUnreachableError, /certificate is not accepted/, () => overTls()],
  ["a certificate of another name", RegistryUnreachableError, /ALTNAME/, () => overTls("127.0.0.1")],
  [
    "a manifest that lies about a layer's size",
    ImageError,
    /has \d+ bytes instead of 5/,
    async () => [await put({ layers: [{ bytes: layer, descriptor: { size: 5 } }] }, "size")],
  ],
  [
    "a config that lies about a layer's diff id",
    ImageError,
    /unpacked archive is not the expected content|blob is not the expected content/,
    async () => [await put({ layers: [{ bytes: layer, diffId: sha256Of("other") }] }, "diff-id")],
  ],
  [
    "a layer with other content than its digest's",
    ImageError,
    /is not the expected content|damaged/,
    faulty(
      change(({ body }) => {
        const wrong = Buffer.from(body);
        wrong[wrong.length >> 1]! ^= 1;
        return { body: wrong };
      }),
      (seen) => locked.isLayer(seen),
    ),
  ],
  [
    "a manifest with other content than its digest's",
    ImageError,
    /wrong content/,
    faulty(
      change(({ headers }) => ({
        body: Buffer.from(JSON.stringify({ schemaVersion: 2 })),
        headers: { "docker-content-digest": String(headers["docker-content-digest"]) },
      })),
    ),
  ],
  [
    "a manifest of 4 GiB",
    ImageError,
    /longer than 4194304 bytes/,
    faulty((_seen, response) => {
      response.writeHead(200, { "content-type": TYPES.manifest, "content-length": String(MANY) }).write("{");
      return true;
    }),
  ],
  ["a manifest of schema 1", ImageError, /schema 1, which is not supported/, faulty(document("text/plain", schema1()))],
  ["a page of a hotel", ImageError, /not JSON/, faulty(document("text/html", "<html>Welcome</html>"))],
  [
    "an index without our platform",
    ImageError,
    /is for linux\/s390x, linux\/arm\/v7, not for[\s\S]*This machine runs images for linux\//,
    async () => {
      const builder = new LayoutBuilder();
      const platforms = [{ architecture: "s390x" }, { architecture: "arm", variant: "v7" }];
      const images = platforms.map((platform) =>
        builder.image({ config: platform }, { platform: { os: "linux", ...platform } }),
      );
      await putLayout(builder, open.host, "bad/image", [...images, builder.index(images)], "foreign");
      return [`${open.host}/bad/image:foreign`];
    },
  ],
  [
    "a layer that unpacks to a thousand times its size",
    ImageError,
    /unpacks to more than 16 MiB from \d+ bytes[\s\S]*SUPERMACHINE_MAX_LAYER_MIB/,
    async () => {
      vi.stubEnv("SUPERMACHINE_MAX_LAYER_MIB", "16");
      const one = { bytes: gzipSync(bomb), mediaType: packed, diffId: sha256Of(bomb) };
      return [await put({ layers: [one] }, "bomb")];
    },
  ],
];

function schema1(): string {
  return JSON.stringify({ schemaVersion: 1, name: "team/busybox", fsLayers: [] });
}

async function overTls(host = "localhost"): Promise<Attempt> {
  const { registry, authority } = await tlsRegistry(cleanup);
  if (host !== "localhost") vi.stubEnv("SUPERMACHINE_REGISTRY_CA", authority);
  return [`${host}:${registry.port}/bad/image:1`];
}

describe("what a registry does wrong is a typed error that leaves nothing behind", () => {
  it.each(rows)("%s", async (_what, kind, says, attempt) => {
    const [reference, options] = await attempt();
    const error: unknown = await Image.fromOci(reference, options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(kind);
    expect((error as ImageError).code).toBe(CODES.get(kind));
    expect((error as Error).message).toMatch(says);
    expectNothingWrongIsKept();
    expectNoSecrets(error);
  });
});

const CODES = new Map<unknown, string>([
  [ImageError, "ERR_SUPERMACHINE_IMAGE"],
  [ImageNotFoundError, "ERR_SUPERMACHINE_IMAGE_NOT_FOUND"],
  [RegistryAuthError, "ERR_SUPERMACHINE_REGISTRY_AUTH"],
  [RegistryUnreachableError, "ERR_SUPERMACHINE_REGISTRY_UNREACHABLE"],
]);

function expectNothingWrongIsKept(): void {
  expect(litter()).toEqual([]);
  const below = (name: string) => {
    try {
      return readdirSync(join(home.path, name));
    } catch {
      return [];
    }
  };
  expect([...below("layers"), ...below("snapshots")]).toEqual([]);
  for (const hex of below("blobs/sha256")) {
    expect(sha256Of(readFileSync(join(home.path, "blobs/sha256", hex)))).toBe(`sha256:${hex}`);
  }
}

function expectNoSecrets(error: unknown): void {
  const shown = inspect(error, { depth: 12, showHidden: true }) + log.text();
  for (const { username, password } of [USER, BAD]) {
    for (const secret of [password, Buffer.from(`${username}:${password}`).toString("base64")]) {
      expect(shown).not.toContain(secret);
    }
  }
}

describe("a mirror that gives wrong content", () => {
  it("is not believed: the layer is fetched from the registry itself", async () => {
    const reference = await put({ layers: [layer] }, "mirrored");
    const mirror = cleanup.use(await startFaultProxy(open.port));
    const isLayer = ({ path }: { path: string }) => path.endsWith(sha256Of(layer));
    const turn = change(({ body }) => ({ body: Buffer.from(body).reverse() }));
    mirror.faults = [firstTimes(ANSWERS, isLayer, turn)];
    vi.stubEnv("SUPERMACHINE_REGISTRY_MIRRORS", `${open.host}=http://${mirror.host}`);
    const retries: unknown[] = [];
    await Image.fromOci(reference, { onProgress: ({ retry }) => retry && retries.push(retry) });
    expect(mirror.seen.filter(isLayer)).toHaveLength(1);
    expect(retries).toEqual([{ attempt: 2, reason: "a mirror gave wrong content", waitMs: 0 }]);
    expect(readdirSync(join(home.path, "layers"))).toEqual([expect.stringContaining(sha256Of(layer).slice(7))]);
  });
});

describe("the log", () => {
  it("of a pull has every request, without what was sent to be let in", async () => {
    await Image.fromOci(locked.image, { registryAuth: USER });
    expect(log.text()).toMatch(
      /debug registry: GET http:\/\/localhost:\d+\/v2\/team\/busybox\/manifests\/1: 200 after/,
    );
    expect(log.text()).toMatch(/info {2}layer: sha256:\w+ converted in \d+ ms/);
    expectNoSecrets(undefined);
  });
});
