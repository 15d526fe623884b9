import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HttpEdge } from "../../src/edge/index.js";
import { NetworkError, UsageError } from "../../src/errors.js";
import { FakeSource } from "./fake-workers.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-share-"));
  vi.stubEnv("SUPERMACHINE_HOME", folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const says = (what: string) =>
  new FakeSource(
    () => (req, response) => response.end(`${what} ${req.headers["x-forwarded-for"]} ${Object.keys(req.headers)}`),
  );

async function ask(port: number, host: string, path = "/", headers: Record<string, string> = {}): Promise<string> {
  const asking = request({ port, path, headers: { host, ...headers }, agent: false }).end();
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  return text(answer);
}

async function edgeFor(name: string, port: number, log: string[] = []): Promise<HttpEdge> {
  const onRequest = ({ service, client }: { service: string; client: string }) => void log.push(`${service} ${client}`);
  const edge = await HttpEdge.listen({ port, shared: true, onRequest });
  edge.add(name, says(name));
  await edge.untilReady();
  return edge;
}

test("edges share a port: each service under its name, by whoever has the port", async () => {
  const logs: string[][] = [[], []];
  const first = await edgeFor("web", 0, logs[0]);
  const { port } = first;
  await using second = await edgeFor("api", port, logs[1]);
  expect(second.url("api")).toBe(`http://api.localhost:${port}`);
  expect(await ask(port, "api.localhost")).toMatch(/^api 127\.0\.0\.1 /);
  expect(await ask(port, "api.localhost")).not.toContain("x-supermachine");
  expect(await ask(port, "web.localhost")).toMatch(/^web /);
  expect(await ask(port, "localhost")).toMatch(/^web /);
  expect(await ask(port, "api.localhost", "/", { "x-forwarded-for": "6.6.6.6" })).toMatch(/^api 127\.0\.0\.1 /);
  expect(JSON.parse(await ask(port, "api.localhost", "/_health")).services).toMatchObject([
    { name: "api", state: "ready" },
  ]);
  await expect.poll(() => logs).toEqual([["web 127.0.0.1", "web 127.0.0.1"], Array(3).fill("api 127.0.0.1")]);

  await first.close();
  await expect.poll(() => ask(port, "api.localhost").catch(() => "nobody"), { timeout: 10_000 }).toMatch(/^api /);
  await using third = await edgeFor("web", port);
  expect(await ask(port, "web.localhost")).toMatch(/^web /);
  await third.close();
  await expect.poll(() => ask(port, "web.localhost")).toContain("no service web is here; there are api.localhost");
  expect(statSync(join(folder, "edge-secret")).mode & 0o777).toBe(0o600);
});

test("who leaves a shared port answers what it was given before, and keeps its workers until it is closed", async () => {
  await using first = await edgeFor("web", 0);
  const edge = await HttpEdge.listen({ port: first.port, shared: true });
  let answer = () => undefined as unknown;
  const source = new FakeSource(() => (_req, response) => {
    answer = () => response.end("late");
  });
  edge.add("api", source);
  await edge.untilReady();
  const asked = ask(first.port, "api.localhost");
  await expect.poll(() => edge.health().services[0]?.workers[0]?.active).toBe(1);
  const drained = edge.drain();
  await expect.poll(() => ask(first.port, "api.localhost")).toContain("no service api is here");
  answer();
  expect(await asked).toBe("late");
  await drained;
  expect(edge.health().services[0]?.workers).toHaveLength(1);
  await edge.close();
  expect(edge.health().services[0]?.workers).toEqual([]);
});

test("a name is taken once on a port", async () => {
  await using first = await edgeFor("web", 0);
  await expect(edgeFor("web", first.port)).rejects.toThrow(UsageError);
  await expect(HttpEdge.listen({ port: first.port })).rejects.toThrow("it is in use");
});

test("a port that another program has is not shared, nor is it told the secret", async () => {
  const asked: IncomingMessage[] = [];
  const other = createServer((req, response) => {
    asked.push(req);
    response.end("something else");
  }).listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  await using edge = await HttpEdge.listen({ port, shared: true });
  edge.add("web", says("web"));
  await expect(edge.untilReady()).rejects.toThrow(NetworkError);
  await expect(edge.untilReady()).rejects.toThrow(`the port ${port} at 127.0.0.1 is in use by another program`);
  expect(asked[0]?.headers).not.toHaveProperty("x-supermachine-proof");
  other.close();
});

test("who does not know the secret cannot add a service", async () => {
  await using edge = await edgeFor("web", 0);
  const asking = request({ port: edge.port, headers: { connection: "Upgrade", upgrade: "supermachine-edge" } }).end();
  const [, socket] = (await once(asking, "upgrade")) as [IncomingMessage, import("node:net").Socket];
  socket.write(`${JSON.stringify({ name: "evil", port: 1, key: "0".repeat(64), proof: "0".repeat(64) })}\n`);
  await once(socket.resume(), "close");
  expect(edge.health().services.map(({ name }) => name)).toEqual(["web"]);
});
