import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { authorityPath, HttpEdge } from "../../src/edge/index.js";
import { openAuthority } from "../../src/edge/tls/index.js";
import { NetworkError, UsageError } from "../../src/errors.js";
import { FakeSource } from "./fake-workers.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-tls-"));
  vi.stubEnv("SUPERMACHINE_HOME", folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const proto = () => new FakeSource(() => (req, response) => response.end(`${req.headers["x-forwarded-proto"]}`));

/** Asks a host of this machine, trusting only the local authority. */
async function ask(port: number, host: string): Promise<string> {
  const asking = request({
    host: "127.0.0.1",
    port,
    servername: host,
    headers: { host },
    ca: readFileSync(authorityPath()),
  });
  asking.end();
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  return text(answer);
}

test("the local authority vouches for localhost and every name below it, and for nothing else", async () => {
  await using edge = await HttpEdge.listen({ port: 0, tls: "autogen" });
  edge.add("web", proto());
  edge.add("api.v2", proto());
  expect(edge.url()).toBe(`https://localhost:${edge.port}`);
  for (const host of ["localhost", "web.localhost", "api.v2.localhost"])
    expect(await ask(edge.port, host)).toBe("https");
  await expect(ask(edge.port, "example.org")).rejects.toThrow(/altnames/);
  expect(statSync(join(folder, "tls", "authority.key")).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, "tls")).mode & 0o777).toBe(0o700);
});

test("openssl finds nothing wrong with what the authority issues, and refuses other names", async () => {
  const authority = await openAuthority();
  const verify = async (names: string[]) => {
    const path = join(folder, "server.pem");
    writeFileSync(path, (await authority.issue(names)).cert);
    return execa("openssl", ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", authorityPath(), path], {
      reject: false,
    });
  };
  expect((await verify(["web.localhost", "localhost", "127.0.0.1", "::1"])).stdout).toMatch(/: OK$/);
  for (const name of ["example.org", "10.0.0.1"])
    expect((await verify([name])).stderr).toContain("permitted subtree violation");
});

test("the authority stays the same, and a damaged one is a clear error", async () => {
  await openAuthority();
  const before = readFileSync(authorityPath(), "utf8");
  await Promise.all([openAuthority(), openAuthority()]);
  expect(readFileSync(authorityPath(), "utf8")).toBe(before);
  writeFileSync(join(folder, "tls", "authority.key"), "nonsense");
  await expect(HttpEdge.listen({ port: 0, tls: "autogen" })).rejects.toThrow(NetworkError);
});

test("a certificate of the user's own is used; one without its key is refused", async () => {
  const authority = await openAuthority();
  const [own, other] = [await authority.issue(["localhost"]), await authority.issue(["localhost"])];
  await using edge = await HttpEdge.listen({ port: 0, tls: own });
  edge.add("web", proto());
  expect(await ask(edge.port, "localhost")).toBe("https");
  await expect(HttpEdge.listen({ port: 0, tls: { cert: own.cert, key: other.key } })).rejects.toThrow(UsageError);
});
