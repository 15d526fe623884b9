import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ImageError, NetworkError, RegistryAuthError, RegistryUnreachableError } from "../../src/errors.js";
import { openImage } from "../../src/oci/index.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { freshClient, IMPATIENT, type Pulled, pull } from "../support/registry/client.js";
import { startRegistry } from "../support/registry/docker-registry.js";
import {
  breakAfter,
  change,
  type FaultProxy,
  firstTimes,
  isBlob,
  isManifest,
  type Passed,
  type Seen,
  stallAfter,
  startFaultProxy,
  status,
} from "../support/registry/fault-proxy.js";
import { pushBusybox } from "../support/registry/push.js";

const USER = { username: "ada", password: "s3cret" };

const cleanup = new Cleanup();
let proxy: FaultProxy;
let client: ReturnType<typeof freshClient>;
let image: string;
let layer: { digest: string; size: number };
let expected: Pulled;

beforeAll(async () => {
  const registry = cleanup.use(await startRegistry({ users: { [USER.username]: USER.password } }));
  await pushBusybox(`${registry.host}/team/busybox:1`, { credentials: `${USER.username}:${USER.password}` });
  proxy = cleanup.use(await startFaultProxy(registry.port));
  image = `${proxy.host}/team/busybox:1`;
  using _client = freshClient();
  expected = await pull(image, { registryAuth: USER });
  await using opened = await openImage(image, { registryAuth: USER });
  [layer] = opened.layers as [(typeof opened.layers)[0]];
});
afterAll(() => cleanup.end());
beforeEach(() => {
  client = freshClient();
  proxy.faults = [];
  proxy.seen.length = 0;
});
afterEach(() => client[Symbol.dispose]());

const get = (network = {}) => pull(image, { registryAuth: USER, network: { ...IMPATIENT, ...network } });
const isLayer = (seen: Pick<Seen, "path">) => seen.path.endsWith(layer.digest);
const tries = (of: (seen: Seen) => boolean) => proxy.seen.filter(of).length;

describe("what passes by itself", () => {
  it.each([429, 500, 502, 503, 504])("is tried again after a %i, for manifests and layers", async (code) => {
    proxy.faults = [firstTimes(2, isManifest, status(code)), firstTimes(2, isLayer, status(code))];
    expect(await get()).toEqual(expected);
  });

  it("is waited for as long as Retry-After says, in seconds", async () => {
    proxy.faults = [firstTimes(1, isManifest, status(503, { "retry-after": "1" }))];
    expect(await get()).toEqual(expected);
  });

  it("is waited for until Retry-After's date, but not for ever", async () => {
    const tomorrow = new Date(Date.now() + 86_400_000).toUTCString();
    proxy.faults = [firstTimes(1, isManifest, status(429, { "retry-after": tomorrow }))];
    expect(await get({ longestWaitMs: 50 })).toEqual(expected);
  });

  it("is tried again when a manifest breaks off", async () => {
    proxy.faults = [firstTimes(2, isManifest, breakAfter(100))];
    expect(await get()).toEqual(expected);
  });

  it("is not tried for ever", async () => {
    proxy.faults = [firstTimes(1_000, isManifest, status(503))];
    const pulling = get({ attempts: 4 });
    await expect(pulling).rejects.toThrow(RegistryUnreachableError);
    await expect(pulling).rejects.toThrow(/answered 503/);
    // One more request was refused for want of a password.
    expect(tries(isManifest)).toBe(4);
  });
});

describe("a layer that breaks off", () => {
  it("goes on where it broke", async () => {
    proxy.faults = [firstTimes(3, isLayer, breakAfter(100_000))];
    expect(await get()).toEqual(expected);
    const ranges = proxy.seen.filter(isLayer).flatMap(({ headers }) => headers.range ?? []);
    expect(ranges).toHaveLength(3);
    const starts = ranges.map((range) => Number(/^bytes=(\d+)-$/.exec(range)?.[1]));
    expect(starts.every((start, i) => start > (starts[i - 1] ?? 0))).toBe(true);
    expect(proxy.seen.filter(isLayer).at(-1)?.headers["if-range"]).toMatch(/^"/);
  });

  it("goes on after it came to a standstill", async () => {
    proxy.faults = [firstTimes(1, isLayer, stallAfter(100_000))];
    expect(await get({ stallMs: 300 })).toEqual(expected);
  });

  it("is read again from its start where the server knows no ranges", async () => {
    const forget = (passed: Passed) => ({ ...passed, headers: { ...passed.headers, "accept-ranges": "none" } });
    proxy.faults = [
      firstTimes(1, isLayer, breakAfter(100_000)),
      async (seen, response, pass) => {
        if (!isLayer(seen)) return false;
        delete seen.headers.range;
        return change(forget)(seen, response, pass);
      },
    ];
    expect(await get()).toEqual(expected);
    expect(proxy.seen.filter(isLayer)).toHaveLength(2);
  });

  it("is read again from its start where the server gives another range than was asked for", async () => {
    const shift = ({ headers }: Passed) => ({
      headers: { ...headers, "content-range": `bytes ${layer.size - 1}-${layer.size - 1}/${layer.size}` },
    });
    proxy.faults = [
      firstTimes(1, isLayer, breakAfter(100_000)),
      firstTimes(1, (seen) => isLayer(seen) && seen.headers.range !== undefined, change(shift)),
    ];
    expect(await get()).toEqual(expected);
  });

  it("fails when it breaks at the same place again and again", async () => {
    proxy.faults = [firstTimes(1_000, isLayer, breakAfter(0))];
    await expect(get({ attempts: 3 })).rejects.toThrow(RegistryUnreachableError);
    expect(tries(isLayer)).toBe(3);
  });

  it("ends at once when it is no longer wanted", async () => {
    proxy.faults = [firstTimes(1_000, isLayer, stallAfter(10))];
    await using opened = await openImage(image, { registryAuth: USER });
    const stop = new AbortController();
    const stream = await opened.layers[0]!.open(stop.signal);
    const reading = stream.toArray();
    setTimeout(() => stop.abort(new Error("enough")), 50);
    await expect(reading).rejects.toThrow("enough");
    expect(stream.destroyed).toBe(true);
  });
});

describe("a layer that is given up", () => {
  it("lets go of its connection, also when nobody waits for its next bytes", async () => {
    let ended = 0;
    proxy.faults = [
      firstTimes(1_000, isLayer, (_seen, response) => {
        response.writeHead(200, { "content-length": String(layer.size) }).write(Buffer.alloc(layer.size - 1));
        response.once("close", () => ended++);
        return true;
      }),
    ];
    await using opened = await openImage(image, { registryAuth: USER });
    const streams = await Promise.all([1, 2, 3].map(() => opened.layers[0]!.open()));
    for (const stream of streams) stream.destroy();
    await expect.poll(() => ended).toBe(3);
  });

  it("breaks off when its image is disposed of", async () => {
    proxy.faults = [firstTimes(1_000, isLayer, stallAfter(10))];
    const opened = await openImage(image, { registryAuth: USER, network: IMPATIENT });
    const reading = (await opened.layers[0]!.open()).toArray();
    const failing = expect(reading).rejects.toThrow();
    await opened[Symbol.asyncDispose]();
    await failing;
  });

  it("has no secret in its error, nor in what caused that", async () => {
    proxy.faults = [firstTimes(1_000, isLayer, breakAfter(0))];
    const error: unknown = await get({ attempts: 2 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RegistryUnreachableError);
    const shown = inspect(error, { depth: 12, showHidden: true });
    const basic = Buffer.from(`${USER.username}:${USER.password}`).toString("base64");
    for (const secret of [USER.password, basic]) expect(shown).not.toContain(secret);
  });
});

describe("wrong content", () => {
  const flip = ({ body }: Passed) => {
    const wrong = Buffer.from(body);
    wrong[10]! ^= 1;
    return { body: wrong };
  };

  it("of a manifest is found by the digest that the registry tells", async () => {
    proxy.faults = [
      firstTimes(
        1,
        (seen) => seen.method === "GET" && isManifest(seen),
        change(({ body, headers }) => {
          const { "content-length": _length, ...rest } = headers;
          return { body: Buffer.concat([body, Buffer.from(" ")]), headers: rest };
        }),
      ),
    ];
    await expect(get()).rejects.toThrow(/wrong content: its digest is sha256:/);
  });

  it("of a manifest is found by the digest that was asked for", async () => {
    proxy.faults = [
      firstTimes(
        1_000,
        isManifest,
        change(({ body, headers }) => {
          const { "docker-content-digest": _digest, ...rest } = headers;
          return { ...flip({ status: 200, headers, body }), headers: rest };
        }),
      ),
    ];
    const byDigest = `${proxy.host}/team/busybox@${expected.manifestDigest}`;
    await expect(pull(byDigest, { registryAuth: USER, network: IMPATIENT })).rejects.toThrow(/wrong content/);
  });

  it("of a config is found, and nothing of it is kept", async () => {
    const isConfig = (seen: { path: string }) => seen.path.endsWith(expected.configDigest);
    proxy.faults = [firstTimes(1, isConfig, change(flip))];
    await expect(get()).rejects.toThrow(/config sha256:.* has the wrong content/);
    expect(await get()).toEqual(expected);
  });

  it("of a layer is for its reader to find", async () => {
    proxy.faults = [firstTimes(1, isLayer, change(flip))];
    await expect(get()).rejects.toThrow(/came as sha256:/);
  });

  it.each([-1, 1])("a layer whose length is off by %i is refused before it is read", async (off) => {
    proxy.faults = [
      firstTimes(
        1_000,
        isLayer,
        change(({ body, headers }) => {
          const changed = off < 0 ? body.subarray(1) : Buffer.concat([body, Buffer.from("x")]);
          return { body: changed, headers: { ...headers, "content-length": String(changed.length) } };
        }),
      ),
    ];
    await expect(get()).rejects.toThrow(new RegExp(`has ${layer.size + off} bytes instead of ${layer.size}`));
  });

  it("a layer that is longer without saying so is cut off", async () => {
    proxy.faults = [
      firstTimes(
        1_000,
        isLayer,
        change(({ body, headers }) => {
          const { "content-length": _length, ...rest } = headers;
          return { body: Buffer.concat([body, body]), headers: { ...rest, "transfer-encoding": "chunked" } };
        }),
      ),
    ];
    await expect(get()).rejects.toThrow(/has more than \d+ bytes/);
  });

  it.each(["with its length", "without a length"])("an endless manifest %s is not read to its end", async (how) => {
    let sent = 0;
    proxy.faults = [
      firstTimes(1_000, isManifest, (_seen, response) => {
        const announced = how === "with its length" ? { "content-length": String(4 * 1024 ** 3) } : {};
        response.writeHead(200, { "content-type": "application/json", ...announced });
        const block = Buffer.alloc(64 * 1024, " ");
        const more = () => {
          while (!response.destroyed && response.write(block)) sent += block.length;
        };
        response.on("drain", more);
        more();
        return true;
      }),
    ];
    await expect(get()).rejects.toThrow(/is longer than 4194304 bytes/);
    expect(sent).toBeLessThan(64 * 1024 ** 2);
  });
});

describe("refusals", () => {
  it.each([
    [401, RegistryAuthError],
    [403, RegistryAuthError],
    [400, ImageError],
    [418, ImageError],
  ])("a %i is not tried again", async (code, kind) => {
    proxy.faults = [
      firstTimes(1_000, (seen) => isManifest(seen) && seen.headers.authorization !== undefined, status(code)),
    ];
    await expect(get()).rejects.toThrow(kind);
    expect(tries(isManifest)).toBeLessThanOrEqual(2);
  });

  it("tells the registry's code, but not its words", async () => {
    const body = JSON.stringify({ errors: [{ code: "DENIED", message: `no ${USER.password}` }] });
    proxy.faults = [
      firstTimes(1_000, isManifest, (_seen, response) => {
        response.writeHead(403, { "content-type": "application/json" }).end(body);
        return true;
      }),
    ];
    const error: unknown = await get().catch((reason: unknown) => reason);
    expect(String(error)).toContain("DENIED");
    expect(String(error)).not.toContain(USER.password);
  });

  it("a manifest of schema 1 is refused by name", async () => {
    const document = JSON.stringify({ schemaVersion: 1, name: "team/busybox", fsLayers: [] });
    for (const type of ["application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json"]) {
      proxy.faults = [
        firstTimes(1, isManifest, (_seen, response) => {
          response.writeHead(200, { "content-type": type }).end(document);
          return true;
        }),
      ];
      await expect(get()).rejects.toThrow(/schema 1, which is not supported/);
    }
  });

  it("what is no manifest at all is refused", async () => {
    proxy.faults = [
      firstTimes(1, isManifest, (_seen, response) => {
        response.writeHead(200, { "content-type": "text/html" }).end("<html>Welcome to our hotel's network</html>");
        return true;
      }),
    ];
    await expect(get()).rejects.toThrow(/is not JSON/);
  });
});

describe("redirects", () => {
  it("lead to storage elsewhere, which is not told the credentials", async () => {
    const seen: (string | undefined)[] = [];
    const storage = createServer((request, response) => {
      seen.push(request.headers.authorization);
      const blob = blobs.get((request.url ?? "").split("?")[0] ?? "");
      response.writeHead(blob === undefined ? 404 : 200).end(blob);
    });
    const blobs = new Map<string, Buffer>();
    await new Promise<void>((resolve) => storage.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = storage.address() as AddressInfo;
      proxy.faults = [
        async (request, response, pass) => {
          if (!isBlob(request)) return false;
          const passed = await pass();
          if (passed.status !== 200) return false;
          const name = `/${request.path.split(":").at(-1)}`;
          blobs.set(name, passed.body);
          response.writeHead(307, { location: `http://127.0.0.1:${port}${name}?signature=very-secret` }).end();
          return true;
        },
      ];
      expect(await get()).toEqual(expected);
      expect(seen).toEqual([undefined, undefined]);
      blobs.set = () => blobs;
      blobs.clear();
      const error: unknown = await get().catch((reason: unknown) => reason);
      expect(String(error)).toMatch(/does not exist/);
      expect(String(error)).not.toContain("very-secret");
    } finally {
      storage.closeAllConnections();
      await new Promise((resolve) => storage.close(resolve));
    }
  });

  it("are followed on the same host with the credentials, but not in circles", async () => {
    proxy.faults = [
      firstTimes(1, isLayer, (seen, response) => {
        response.writeHead(302, { location: `${seen.path}?again` }).end();
        return true;
      }),
    ];
    expect(await get()).toEqual(expected);
    proxy.faults = [
      firstTimes(1_000, isLayer, (seen, response) => {
        response.writeHead(302, { location: seen.path }).end();
        return true;
      }),
    ];
    proxy.seen.length = 0;
    await expect(get()).rejects.toThrow(/redirects more than 5 times/);
    expect(tries(isLayer)).toBe(6);
  });

  it.each([
    ["http://registry.invalid/blob?secret=1", /over plain HTTP/],
    ["ftp://registry.invalid/blob", /not HTTP/],
    ["http://[broken", /not a URL/],
  ])("to %s are not followed", async (location, message) => {
    proxy.faults = [firstTimes(1_000, isLayer, status(307, { location }))];
    await expect(get()).rejects.toThrow(NetworkError);
    await expect(get()).rejects.toThrow(message);
  });
});
