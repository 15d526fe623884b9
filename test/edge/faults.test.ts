import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { type EdgeOptions, HttpEdge, type ServiceOptions } from "../../src/edge/index.js";
import { FakeSource, numbered } from "./fake-workers.js";

async function edgeOf(source: FakeSource, options: EdgeOptions & ServiceOptions = {}): Promise<HttpEdge> {
  const edge = await HttpEdge.listen({ port: 0, ...options });
  edge.add("web", source, options);
  await expect.poll(() => edge.health().status).toBe("ok");
  return edge;
}

/** What comes back for raw bytes, until the edge closes the connection. */
async function raw(edge: HttpEdge, bytes: string): Promise<{ socket: Socket; answer: Promise<string> }> {
  const socket = connect(edge.port, "127.0.0.1");
  await once(socket, "connect");
  socket.write(bytes);
  return { socket, answer: text(socket) };
}

test("a worker that dies while it answers: the GET goes to another, the POST is 502, and a new one comes", async () => {
  const source = new FakeSource((worker) => (req, response) => {
    if (worker.number === 0) worker.die();
    else response.end(`${req.method} by ${worker.number}`);
  });
  await using edge = await edgeOf(source);
  expect(await (await fetch(edge.url())).text()).toBe("GET by 1");
  const second = new FakeSource(
    (worker) => (_req, response) => (worker.number < 1 ? worker.die() : response.end("fine")),
  );
  await using other = await edgeOf(second);
  const lost = await fetch(other.url(), { method: "POST", body: "pay" });
  expect(lost.status).toBe(502);
  expect(await lost.text()).toBe("502 Bad Gateway: worker 1 failed before it answered: the guest panicked\n");
  expect(await (await fetch(other.url(), { method: "POST", body: "pay" })).text()).toBe("fine");
  expect(other.health().services[0]).toMatchObject({ lost: 1, lastError: "the guest panicked" });
});

test("a request that never got to a worker is sent to another, a POST with its body too", async () => {
  const source = new FakeSource(
    (worker) => async (req, response) => response.end(`${worker.number}: ${await text(req)}`),
  );
  await using edge = await edgeOf(source, { workers: 2 });
  const refusing = source.workers[0];
  if (refusing) refusing.refusal = Object.assign(new Error("nobody is there"), { errno: "ECONNREFUSED" });
  for (let i = 0; i < 4; i++) {
    expect(await (await fetch(edge.url(), { method: "POST", body: "all of it" })).text()).toBe("1: all of it");
  }
  for (const each of source.workers) each.refusal = refusing?.refusal;
  for (const each of source.workers) for (const open of each.connections) open.destroy();
  const answer = await fetch(edge.url(), { headers: { accept: "application/json" } });
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(await answer.json()).toMatchObject({
    ...{ status: 502, code: "worker_refused", title: "Bad Gateway" },
    detail: expect.stringContaining("nothing listens in worker"),
  });
});

test("an answer that breaks off is cut off for the client too", async () => {
  const source = new FakeSource((worker) => (_req, response) => {
    response.writeHead(200, { "content-length": 100 });
    response.write("half", () => setTimeout(() => worker.die(), 20));
  });
  const log: string[] = [];
  await using edge = await edgeOf(source, { onRequest: ({ problem }) => log.push(problem ?? "none") });
  const answer = await fetch(edge.url());
  expect(answer.status).toBe(200);
  await expect(answer.text()).rejects.toThrow();
  await expect.poll(() => log).toEqual(["the answer was cut off: the guest panicked"]);
});

test("a worker that does not answer is 504, one that talks nonsense 502", async () => {
  const source = new FakeSource(() => (req, response) => {
    if (req.url === "/nonsense") response.socket?.end("SSH-2.0-OpenSSH\r\n\r\n");
    if (req.url === "/status") response.socket?.end("HTTP/1.1 200 OK\r\nBad\u0001Header: x\r\n\r\n");
  });
  await using edge = await edgeOf(source, { answerTimeoutMs: 1_000 });
  const late = await fetch(edge.url());
  expect([late.status, await late.text()]).toEqual([504, expect.stringContaining("did not begin to answer in time")]);
  for (const path of ["/nonsense", "/status"]) {
    const answer = await fetch(edge.url() + path);
    expect([answer.status, await answer.text()]).toEqual([502, expect.stringContaining("what is no HTTP")]);
  }
});

test("a client that goes away takes its request to the worker with it", async () => {
  const gone: string[] = [];
  const source = new FakeSource(() => (req, response) => {
    response.once("close", () => gone.push(`${req.url}`));
    if (req.url === "/stream") response.write("first");
  });
  const log: number[] = [];
  await using edge = await edgeOf(source, { onRequest: ({ status }) => log.push(status) });
  for (const path of ["/silent", "/stream"]) {
    const asking = request(`${edge.url()}${path}`).on("error", () => undefined);
    const answered = path === "/stream" ? once(asking, "response") : undefined;
    asking.end();
    await expect.poll(() => edge.health().services[0]?.workers[0]?.active).toBe(1);
    await answered;
    asking.destroy();
    await expect.poll(() => gone.at(-1)).toBe(path);
    await expect.poll(() => edge.health().services[0]?.workers[0]?.active).toBe(0);
  }
  expect(log).toEqual([499, 200]);
});

test("workers that cannot be started: 503 says why and when to come again", async () => {
  const source = numbered();
  source.beforeStart = async () => {
    throw new Error("the disk is full");
  };
  await using edge = await HttpEdge.listen({ port: 0 });
  edge.add("web", source);
  const answer = await fetch(edge.url());
  expect(answer.status).toBe(503);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(await answer.text()).toContain("no worker of web can be started: the disk is full");
  source.beforeStart = async () => undefined;
  await expect.poll(async () => (await fetch(edge.url())).status, { timeout: 10_000 }).toBe(200);
});

test("a request that comes while a start is given up gets a worker all the same", async () => {
  const source = numbered();
  let starts = 0;
  let giveUp = (): void => undefined;
  // The second of the two takes its time, and more of it to notice that it is not wanted any more.
  source.beforeStart = async (signal) => {
    if (++starts !== 2) return;
    await once(signal, "abort");
    await new Promise<void>((resolve) => {
      giveUp = resolve;
    });
    signal.throwIfAborted();
  };
  await using edge = await HttpEdge.listen({ port: 0 });
  edge.add("web", source, { workers: 2, idleTimeoutMs: 1_500 });
  await expect.poll(() => starts).toBe(2);
  await expect.poll(() => edge.health().services[0]?.state).toBe("asleep");
  expect(await (await fetch(edge.url())).text()).toBe("worker 1");
  giveUp();
});

test("an edge that closes while a worker is started waits for the end of that", async () => {
  const source = numbered();
  let arrive = (): void => undefined;
  source.beforeStart = () =>
    new Promise<void>((resolve) => {
      arrive = resolve;
    });
  const edge = await HttpEdge.listen({ port: 0 });
  edge.add("web", source);
  const asked = fetch(edge.url());
  await expect.poll(() => edge.health().services[0]?.queue.waiting).toBe(1);
  let isClosed = false;
  const closed = edge.close({ graceMs: 0 }).then(() => {
    isClosed = true;
  });
  expect(
    await asked.then(
      ({ status }) => status,
      () => "cut off",
    ),
  ).toSatisfy((end) => end === 503 || end === "cut off");
  expect(isClosed).toBe(false);
  // It did not hear that nobody wants it.
  arrive();
  await closed;
  expect([source.closed, source.workers.map(({ stopped }) => stopped)]).toEqual([true, [true]]);
});

test("headers that do not come in time, are too large or no HTTP are answered and cut off", async () => {
  await using edge = await edgeOf(numbered(), { headersTimeoutMs: 300, maxHeaderBytes: 4_096 });
  const slow = await raw(edge, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow:");
  expect(await slow.answer).toMatch(/^HTTP\/1\.1 408 .*the headers did not come in time\n$/s);
  const silent = await raw(edge, "");
  expect(await silent.answer).toMatch(/^HTTP\/1\.1 408 |^$/);
  const large = await raw(edge, `GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${"x".repeat(5_000)}\r\n\r\n`);
  expect(await large.answer).toMatch(/^HTTP\/1\.1 431 .*the headers are too large\n$/s);
  const nonsense = await raw(edge, "\u0016\u0003\u0001 what?\r\n\r\n");
  expect(await nonsense.answer).toMatch(/^HTTP\/1\.1 400 .*this is no HTTP/s);
  expect(await (await raw(edge, "CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n")).answer).toMatch(
    /^HTTP\/1\.1 405 /,
  );
  expect((await fetch(edge.url())).status).toBe(200);
});

test("a body that stands still is cut off, an answer that takes its time is not", async () => {
  const source = new FakeSource(() => (req, response) => {
    if (req.url === "/slow") setTimeout(() => response.end("at last"), 1_000);
    else req.resume().once("end", () => response.end("read"));
  });
  await using edge = await edgeOf(source, { stallTimeoutMs: 300 });
  const stalled = await raw(edge, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbeginning");
  expect(await stalled.answer).toMatch(/^HTTP\/1\.1 408 .*the client did nothing for 300 ms\n$/s);
  expect(await (await fetch(`${edge.url()}/slow`)).text()).toBe("at last");
  await expect.poll(() => edge.health().services[0]?.workers[0]?.active).toBe(0);
});

test("a request that asks for two things at once is refused", async () => {
  await using edge = await edgeOf(numbered());
  const smuggled = await raw(
    edge,
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
  );
  expect(await smuggled.answer).toMatch(/^HTTP\/1\.1 400 /);
});

test("1,000 requests at a time at 2 workers are all answered, and what is beyond the queue is 503", async () => {
  const source = new FakeSource(() => (_req, response) => setTimeout(() => response.end("ok"), 5));
  await using edge = await edgeOf(source, { workers: 2 });
  const statuses = await Promise.all(Array.from({ length: 1_000 }, () => statusOf(edge)));
  expect(statuses.filter((status) => status === 200)).toHaveLength(1_000);
  const held: (() => void)[] = [];
  const holding = new FakeSource(() => (_req, response) => held.push(() => response.end()));
  await using small = await edgeOf(holding, { concurrency: 1, queueLimit: 2 });
  const three = Array.from({ length: 3 }, () => statusOf(small));
  await expect.poll(() => small.health().services[0]?.queue.waiting).toBe(2);
  const refused = await fetch(small.url());
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(await refused.text()).toContain("2 requests wait for web already");
  for (let i = 0; i < 3; i++) {
    await expect.poll(() => held.length).toBe(1);
    held.pop()?.();
  }
  expect(await Promise.all(three)).toEqual([200, 200, 200]);
});

test("a request that waits too long for a worker is 503", async () => {
  const source = new FakeSource(() => () => undefined);
  await using edge = await edgeOf(source, { concurrency: 1, queueTimeoutMs: 100 });
  const first = statusOf(edge).catch(() => "cut off");
  await expect.poll(() => edge.health().services[0]?.workers[0]?.active).toBe(1);
  const late = await fetch(edge.url());
  expect([late.status, await late.text()]).toEqual([
    503,
    expect.stringContaining("no worker of web was free within 100 ms: 1 of 1 are ready, and busy"),
  ]);
  await edge.close({ graceMs: 0 });
  expect(await first).toBe("cut off");
});

async function statusOf(edge: HttpEdge): Promise<number | undefined> {
  const asking = request(edge.url(), { agent: false }).end();
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  answer.resume();
  await once(answer, "end");
  return answer.statusCode;
}
