import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { RegistryUnreachableError, UsageError } from "../../src/errors.js";
import { type KeyPair, makeAuthority, makeServerCertificate } from "../support/registry/certificates.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { freshClient, IMPATIENT, pull } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import {
  breakAfter,
  type FaultProxy,
  firstTimes,
  isBlob,
  startFaultProxy,
  status,
} from "../support/registry/fault-proxy.js";
import { freePort } from "../support/registry/ports.js";
import { pushBusybox } from "../support/registry/push.js";

const cleanup = new Cleanup();
let client: ReturnType<typeof freshClient>;
let keys: string;
beforeAll(() => {
  keys = mkdtempSync(join(tmpdir(), "supermachine-keys-"));
});
afterAll(async () => {
  await cleanup.end();
  rmSync(keys, { recursive: true, force: true });
});
beforeEach(() => {
  client = freshClient();
});
afterEach(() => client[Symbol.dispose]());

describe("a registry that cannot be reached", () => {
  it.each([
    ["refuses the connection", async () => `localhost:${await freePort()}`, /the connection was refused/],
    ["does not exist", async () => "registry.invalid", /no host of that name|cannot be looked up/],
  ])("because it %s is named, with what to do", async (_why, host, message) => {
    const name = await host();
    const pulling = pull(`${name}/team/busybox:1`);
    await expect(pulling).rejects.toThrow(RegistryUnreachableError);
    await expect(pulling).rejects.toThrow(message);
    await expect(pulling).rejects.toThrow(name);
  });

  it("because it never answers is given up", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    try {
      const host = `localhost:${(silent.address() as AddressInfo).port}`;
      const pulling = pull(`${host}/team/busybox:1`, { network: { stallMs: 200, attempts: 2 } });
      await expect(pulling).rejects.toThrow(/did not answer in time/);
    } finally {
      silent.closeAllConnections();
      silent.close();
    }
  });
});

describe("a registry with TLS", () => {
  let authority: KeyPair;
  let registry: TestRegistry;
  let image: string;
  beforeAll(async () => {
    authority = await makeAuthority(keys);
    const names = ["DNS:localhost", "DNS:registry.test"];
    registry = cleanup.use(await startRegistry({ tls: await makeServerCertificate(keys, authority, names) }));
    image = `${registry.host}/team/busybox:1`;
    await pushBusybox(image);
  });

  it("is trusted with its authority in SUPERMACHINE_REGISTRY_CA", async () => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_CA", authority.certificate);
    await pull(image);
  });

  it("is trusted with its authority where podman keeps it", async () => {
    const folder = join(client.folder, "config/containers/certs.d", registry.host);
    mkdirSync(folder, { recursive: true });
    copyFileSync(authority.certificate, join(folder, "ca.crt"));
    await pull(image);
  });

  it("is not trusted without, and not asked over plain HTTP instead", async () => {
    const pulling = pull(image);
    await expect(pulling).rejects.toThrow(RegistryUnreachableError);
    await expect(pulling).rejects.toThrow(/certificate is not accepted[\s\S]*SUPERMACHINE_REGISTRY_CA/);
  });

  it("is not trusted under another name", async () => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_CA", authority.certificate);
    const pulling = pull(image.replace("localhost", "127.0.0.1"));
    await expect(pulling).rejects.toThrow(/certificate is not accepted \(ERR_TLS_CERT_ALTNAME_INVALID\)/);
  });

  it.each(["/does/not/exist.pem", import.meta.filename])("needs a file of certificates: %s", async (path) => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_CA", path);
    await expect(pull(image)).rejects.toThrow(UsageError);
  });

  it("is reached through a proxy, except where NO_PROXY says not to", async () => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_CA", authority.certificate);
    const asked: string[] = [];
    const proxy = createServer();
    proxy.on("connect", (request, socket) => {
      asked.push(request.url ?? "");
      const behind = connect(registry.port, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 Connected\r\n\r\n");
        behind.pipe(socket).pipe(behind);
      });
      for (const end of [behind, socket]) end.on("error", () => socket.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    try {
      vi.stubEnv("HTTPS_PROXY", `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
      await pull("registry.test/team/busybox:1");
      expect(new Set(asked)).toEqual(new Set(["registry.test:443"]));
      vi.stubEnv("NO_PROXY", "registry.test");
      await expect(pull("registry.test/team/busybox:1", { pull: "always" })).rejects.toThrow(
        /no host of that name|looked up/,
      );
      asked.length = 0;
      await pull(image);
      expect(asked).toEqual([]);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  it("is not asked through something that is no proxy, whose address is not shown", async () => {
    vi.stubEnv("HTTPS_PROXY", "not a url with:secret@");
    const error: unknown = await pull("registry.test/team/busybox:1").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect(String(error)).not.toContain("secret");
  });
});

describe("plain HTTP", () => {
  it("is not spoken with other hosts unless that is asked for", async () => {
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.writeHead(404).end();
    });
    proxy.on("connect", (request, socket) => {
      asked.push(`CONNECT ${request.url}`);
      socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    try {
      vi.stubEnv("HTTP_PROXY", `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
      await expect(pull("registry.test:5000/team/busybox:1", { network: { attempts: 1 } })).rejects.toThrow();
      expect(asked.filter((url) => !url.startsWith("CONNECT "))).toEqual([]);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });
});

describe("a mirror", () => {
  let registry: TestRegistry;
  let mirror: FaultProxy;
  let image: string;
  beforeAll(async () => {
    registry = cleanup.use(await startRegistry());
    mirror = cleanup.use(await startFaultProxy(registry.port));
    image = `${registry.host}/team/busybox:1`;
    await pushBusybox(image);
    await pushBusybox(`${registry.host}/cache/team/busybox:1`);
  });
  beforeEach(() => {
    mirror.faults = [];
    mirror.seen.length = 0;
  });
  const use = (path = "", more = "") =>
    vi.stubEnv("SUPERMACHINE_REGISTRY_MIRRORS", `${registry.host}=http://${mirror.host}${path}${more}`);

  it("is asked in the place of its registry", async () => {
    use();
    await pull(image);
    expect(mirror.seen.filter(isBlob)).toHaveLength(2);
  });

  it("may have a path of its own", async () => {
    use("/cache/");
    await pull(image);
    expect(mirror.seen.every(({ path }) => path.startsWith("/v2/cache/team/busybox/"))).toBe(true);
  });

  it("stands in for Docker Hub", async () => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_MIRRORS", `docker.io=http://${mirror.host}`);
    await pull("team/busybox:1");
    expect(mirror.seen.filter(isBlob)).toHaveLength(2);
  });

  it.each([404, 401, 403, 500])("that answers %i is passed over", async (code) => {
    use();
    mirror.faults = [status(code)];
    await pull(image, { network: { ...IMPATIENT, attempts: 2 } });
  });

  it("that is down is passed over", async () => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_MIRRORS", `${registry.host}=http://localhost:${await freePort()}`);
    await pull(image);
  });

  it("that breaks off in the middle is continued elsewhere", async () => {
    use();
    mirror.faults = [firstTimes(99, isBlob, breakAfter(50_000))];
    await pull(image, { network: { ...IMPATIENT, attempts: 1 } });
  });

  it("is not told the credentials that were given for the registry", async () => {
    use();
    await pull(image, { registryAuth: { username: "ada", password: "s3cret" } });
    expect(mirror.seen.map(({ headers }) => headers.authorization).filter(Boolean)).toEqual([]);
  });

  it.each([
    "docker.io",
    "docker.io=ftp://x",
    "docker.io=https://user:secret@x",
    "=https://x",
    "docker.io=http://mirror.test",
  ])("has to be a URL: %s", async (setting) => {
    vi.stubEnv("SUPERMACHINE_REGISTRY_MIRRORS", setting);
    const error: unknown = await pull("team/busybox:1").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect(String(error)).not.toContain("secret");
  });
});
