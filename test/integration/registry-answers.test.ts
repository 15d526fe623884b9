import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { ImageError, NetworkError, RegistryAuthError } from "../../src/errors.js";
import { IMPATIENT, pull } from "../support/registry/client.js";
import { change, firstTimes, isBlob, isManifest, type Passed, status } from "../support/registry/fault-proxy.js";
import { proxiedRegistry, USER } from "../support/registry/proxied.js";

const there = proxiedRegistry();

describe("wrong content", () => {
  const flip = ({ body }: Passed) => {
    const wrong = Buffer.from(body);
    wrong[10]! ^= 1;
    return { body: wrong };
  };

  it("of a manifest is found by the digest that the registry tells", async () => {
    there.proxy.faults = [
      firstTimes(
        1,
        (seen) => seen.method === "GET" && isManifest(seen),
        change(({ body, headers }) => {
          const { "content-length": _length, ...rest } = headers;
          return { body: Buffer.concat([body, Buffer.from(" ")]), headers: rest };
        }),
      ),
    ];
    await expect(there.get()).rejects.toThrow(/wrong content: its digest is sha256:/);
  });

  it("of a manifest is found by the digest that was asked for", async () => {
    there.proxy.faults = [
      firstTimes(
        1_000,
        isManifest,
        change(({ body, headers }) => {
          const { "docker-content-digest": _digest, ...rest } = headers;
          return { ...flip({ status: 200, headers, body }), headers: rest };
        }),
      ),
    ];
    const byDigest = `${there.proxy.host}/team/busybox@${there.expected.manifestDigest}`;
    await expect(pull(byDigest, { registryAuth: USER, network: IMPATIENT })).rejects.toThrow(/wrong content/);
  });

  it("of a config is found, and nothing of it is kept", async () => {
    const isConfig = (seen: { path: string }) => seen.path.endsWith(there.expected.configDigest);
    there.proxy.faults = [firstTimes(1, isConfig, change(flip))];
    await expect(there.get()).rejects.toThrow(/config sha256:.* has the wrong content/);
    expect(await there.get()).toEqual(there.expected);
  });

  it("of a layer is for its reader to find", async () => {
    there.proxy.faults = [firstTimes(1, there.isLayer, change(flip))];
    await expect(there.get()).rejects.toThrow(/came as sha256:/);
  });

  it.each([-1, 1])("a layer whose length is off by %i is refused before it is read", async (off) => {
    there.proxy.faults = [
      firstTimes(
        1_000,
        there.isLayer,
        change(({ body, headers }) => {
          const changed = off < 0 ? body.subarray(1) : Buffer.concat([body, Buffer.from("x")]);
          return { body: changed, headers: { ...headers, "content-length": String(changed.length) } };
        }),
      ),
    ];
    await expect(there.get()).rejects.toThrow(
      new RegExp(`has ${there.layer.size + off} bytes instead of ${there.layer.size}`),
    );
  });

  it("a layer that is longer without saying so is cut off", async () => {
    there.proxy.faults = [
      firstTimes(
        1_000,
        there.isLayer,
        change(({ body, headers }) => {
          const { "content-length": _length, ...rest } = headers;
          return { body: Buffer.concat([body, body]), headers: { ...rest, "transfer-encoding": "chunked" } };
        }),
      ),
    ];
    await expect(there.get()).rejects.toThrow(/has more than \d+ bytes/);
  });

  it.each(["with its length", "without a length"])("an endless manifest %s is not read to its end", async (how) => {
    let sent = 0;
    there.proxy.faults = [
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
    await expect(there.get()).rejects.toThrow(/is longer than 4194304 bytes/);
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
    there.proxy.faults = [
      firstTimes(1_000, (seen) => isManifest(seen) && seen.headers.authorization !== undefined, status(code)),
    ];
    await expect(there.get()).rejects.toThrow(kind);
    expect(there.tries(isManifest)).toBeLessThanOrEqual(2);
  });

  it("tells the registry's code, but not its words", async () => {
    const body = JSON.stringify({ errors: [{ code: "DENIED", message: `no ${USER.password}` }] });
    there.proxy.faults = [
      firstTimes(1_000, isManifest, (_seen, response) => {
        response.writeHead(403, { "content-type": "application/json" }).end(body);
        return true;
      }),
    ];
    const error: unknown = await there.get().catch((reason: unknown) => reason);
    expect(String(error)).toContain("DENIED");
    expect(String(error)).not.toContain(USER.password);
  });

  it("a manifest of schema 1 is refused by name", async () => {
    const document = JSON.stringify({ schemaVersion: 1, name: "team/busybox", fsLayers: [] });
    for (const type of ["application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json"]) {
      there.proxy.faults = [
        firstTimes(1, isManifest, (_seen, response) => {
          response.writeHead(200, { "content-type": type }).end(document);
          return true;
        }),
      ];
      await expect(there.get()).rejects.toThrow(/schema 1, which is not supported/);
    }
  });

  it("what is no manifest at all is refused", async () => {
    there.proxy.faults = [
      firstTimes(1, isManifest, (_seen, response) => {
        response.writeHead(200, { "content-type": "text/html" }).end("<html>Welcome to our hotel's network</html>");
        return true;
      }),
    ];
    await expect(there.get()).rejects.toThrow(/is not JSON/);
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
      there.proxy.faults = [
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
      expect(await there.get()).toEqual(there.expected);
      expect(seen).toEqual([undefined, undefined]);
      blobs.set = () => blobs;
      blobs.clear();
      const error: unknown = await there.get().catch((reason: unknown) => reason);
      expect(String(error)).toMatch(/does not exist/);
      expect(String(error)).not.toContain("very-secret");
    } finally {
      storage.closeAllConnections();
      await new Promise((resolve) => storage.close(resolve));
    }
  });

  it("are followed on the same host with the credentials, but not in circles", async () => {
    there.proxy.faults = [
      firstTimes(1, there.isLayer, (seen, response) => {
        response.writeHead(302, { location: `${seen.path}?again` }).end();
        return true;
      }),
    ];
    expect(await there.get()).toEqual(there.expected);
    there.proxy.faults = [
      firstTimes(1_000, there.isLayer, (seen, response) => {
        response.writeHead(302, { location: seen.path }).end();
        return true;
      }),
    ];
    there.proxy.seen.length = 0;
    await expect(there.get()).rejects.toThrow(/redirects more than 5 times/);
    expect(there.tries(there.isLayer)).toBe(6);
  });

  it.each([
    ["http://registry.invalid/blob?secret=1", /over plain HTTP/],
    ["ftp://registry.invalid/blob", /not HTTP/],
    ["http://[broken", /not a URL/],
  ])("to %s are not followed", async (location, message) => {
    there.proxy.faults = [firstTimes(1_000, there.isLayer, status(307, { location }))];
    await expect(there.get()).rejects.toThrow(NetworkError);
    await expect(there.get()).rejects.toThrow(message);
  });
});
