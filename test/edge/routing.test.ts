import { request } from "node:http";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { type AccessEntry, HttpEdge } from "../../src/edge/index.js";
import { NetworkError, UsageError } from "../../src/errors.js";
import { FakeSource, numbered } from "./fake-workers.js";

/** Asks with a Host of its own, which fetch does not allow. */
async function ask(edge: HttpEdge, path: string, host: string, headers: Record<string, string> = {}) {
  const asking = request({ port: edge.port, path, headers: { host, ...headers } }).end();
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) =>
    asking.once("response", resolve).once("error", reject),
  );
  return { status: response.statusCode, headers: response.headers, text: await text(response) };
}

const says = (what: string) => new FakeSource(() => (_request, response) => response.end(what));

test("the host names the service; any other host is the first one", async () => {
  await using edge = await HttpEdge.listen({ port: 0 });
  edge.add("Web", says("web"));
  edge.add("api.v2", says("api"));
  expect((await ask(edge, "/", "web.localhost:8080")).text).toBe("web");
  expect((await ask(edge, "/", "API.V2.localhost")).text).toBe("api");
  for (const host of ["localhost", "127.0.0.1:80", "[::1]:8080", "example.org"]) {
    expect((await ask(edge, "/", host)).text).toBe("web");
  }
  const missing = await ask(edge, "/", "other.localhost");
  expect(missing.status).toBe(404);
  expect(missing.text).toBe("404 Not Found: no service other is here; there are Web.localhost, api.v2.localhost\n");
  expect(edge.url()).toBe(`http://localhost:${edge.port}`);
  expect(edge.url("Web")).toBe(`http://Web.localhost:${edge.port}`);
});

test("a name is taken once, and must be one that a host can have", async () => {
  await using edge = await HttpEdge.listen({ port: 0 });
  const service = edge.add("web", numbered());
  expect(() => edge.add("WEB", numbered())).toThrow(UsageError);
  expect(() => edge.add("a b", numbered())).toThrow(/NAME\.localhost/);
  expect(() => edge.add("x", numbered(), { workers: 0 })).toThrow("workers is 0; it is a number from 1 to 256");
  await edge.remove(service);
  edge.add("web", numbered());
});

test("a port that is in use is a clear error", async () => {
  await using edge = await HttpEdge.listen({ port: 0 });
  const second = HttpEdge.listen({ port: edge.port });
  await expect(second).rejects.toThrow(NetworkError);
  await expect(second).rejects.toThrow(`the port ${edge.port} at 127.0.0.1 cannot be listened on: it is in use`);
  await expect(HttpEdge.listen({ port: 70_000 })).rejects.toThrow("port is 70000");
});

test("requests go to the least busy worker", async () => {
  const held: (() => void)[] = [];
  const source = new FakeSource(({ number }) => (request, response) => {
    if (request.url === "/hold") held.push(() => response.end(`held by ${number}`));
    else response.end(String(number));
  });
  await using edge = await HttpEdge.listen({ port: 0 });
  edge.add("web", source, { workers: 3 });
  await expect.poll(() => edge.health().status).toBe("ok");
  const holding = [0, 1, 2].map(() => fetch(`${edge.url()}/hold`).then((answer) => answer.text()));
  await expect.poll(() => held.length).toBe(3);
  held.splice(1, 1)[0]?.();
  const free = (await Promise.race(holding)).slice(-1);
  for (let i = 0; i < 5; i++) expect(await (await fetch(edge.url())).text()).toBe(free);
  for (const end of held) end();
  expect((await Promise.all(holding)).sort()).toEqual(["held by 0", "held by 1", "held by 2"]);
});

test("headers of one connection are not passed on, and the worker hears who asks", async () => {
  const source = new FakeSource(() => (request, response) => {
    response.setHeader("Connection", "keep-alive, X-Secret");
    response.setHeader("X-Secret", "between us");
    response.setHeader("Set-Cookie", ["a=1", "b=2"]);
    response.setHeader("X-Bytes", "\u00e9");
    // A string would be sent together with the headers, and they as UTF-8.
    response.end(Buffer.from(JSON.stringify(request.headers)));
  });
  await using edge = await HttpEdge.listen({ port: 0 });
  edge.add("web", source);
  const sent = {
    ...{ connection: "keep-alive, X-Hop", "x-hop": "1", "keep-alive": "timeout=5", te: "trailers" },
    ...{ "x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https", forwarded: "for=6.6.6.6" },
    ...{ "proxy-authorization": "Basic x", authorization: "Bearer y", "x-kept": "yes" },
  };
  const { text, headers } = await ask(edge, "/", "web.localhost:99", sent);
  expect(JSON.parse(text)).toEqual({
    host: "web.localhost:99",
    authorization: "Bearer y",
    "x-kept": "yes",
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-host": "web.localhost:99",
    "x-forwarded-proto": "http",
    "x-forwarded-port": String(edge.port),
    connection: "keep-alive",
  });
  expect(headers).toMatchObject({ "set-cookie": ["a=1", "b=2"], "x-bytes": "\u00e9" });
  expect(headers).not.toHaveProperty("x-secret");
});

test("health shows every worker, wakes nobody, and is of one service where the host names it", async () => {
  await using edge = await HttpEdge.listen({ port: 0 });
  edge.add("web", numbered(), { workers: 2 });
  const broken = numbered();
  broken.beforeStart = async () => {
    throw new Error("no memory");
  };
  edge.add("api", broken);
  await expect.poll(() => edge.health().services.map(({ state }) => state)).toEqual(["ready", "failing"]);
  const all = await ask(edge, "/_health", "localhost");
  expect(all.status).toBe(200);
  expect(JSON.parse(all.text)).toMatchObject({
    status: "degraded",
    services: [
      { name: "web", state: "ready", wanted: 2, workers: [{ id: 1, state: "ready", active: 0 }, { id: 2 }] },
      { name: "api", state: "failing", workers: [], lastError: "no memory" },
    ],
  });
  expect((await ask(edge, "/_health?x", "web.localhost")).status).toBe(200);
  expect((await ask(edge, "/_health", "api.localhost")).status).toBe(503);
});

test("the access log has every request, with who served it and how long it took", async () => {
  const log: AccessEntry[] = [];
  await using edge = await HttpEdge.listen({ port: 0, onRequest: (entry) => log.push(entry) });
  edge.add("web", says("hello"));
  await (await fetch(`${edge.url()}/a?b`, { method: "POST", body: "x" })).text();
  await expect.poll(() => log.length).toBe(1);
  expect(log[0]).toMatchObject({
    ...{
      service: "web",
      worker: 1,
      client: "127.0.0.1",
      method: "POST",
      path: "/a?b",
      status: 200,
      bytes: 5,
      retries: 0,
    },
    ...{ time: expect.stringMatching(/^\d{4}-.*Z$/), durationMs: expect.any(Number) },
  });
});
