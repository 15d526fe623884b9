import { createHash } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "undici";
import { expect, test } from "vitest";
import { HttpEdge, type ServiceOptions } from "../../src/edge/index.js";
import { FakeSource, numbered } from "./fake-workers.js";

async function edgeOf(source: FakeSource, options: ServiceOptions = {}): Promise<HttpEdge> {
  const edge = await HttpEdge.listen({ port: 0 });
  edge.add("web", source, options);
  return edge;
}

test("a body of 64 MiB goes to the worker and back, neither side holding it", async () => {
  const echo = new FakeSource(() => (req, response) => req.pipe(response));
  await using edge = await edgeOf(echo);
  const chunk = Buffer.alloc(1 << 20, "x");
  const [sent, received] = [createHash("sha1"), createHash("sha1")];
  const body = Readable.from(
    (async function* () {
      for (let i = 0; i < 64; i++) {
        sent.update(chunk);
        yield chunk;
      }
    })(),
  );
  const answer = await fetch(edge.url(), { method: "POST", body, duplex: "half" } as RequestInit);
  for await (const part of answer.body ?? []) received.update(part);
  expect(received.digest("hex")).toBe(sent.digest("hex"));
});

test("a client that does not read holds the worker back", async () => {
  let written = 0;
  const source = new FakeSource(() => (_req, response) => void pour(response));
  const pour = async (response: ServerResponse) => {
    for (; !response.destroyed && written < 1 << 28; written += 65_536) {
      if (!response.write(Buffer.alloc(65_536))) await new Promise((resolve) => response.once("drain", resolve));
    }
  };
  await using edge = await edgeOf(source);
  const asking = request(edge.url()).end();
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  let before = -1;
  for (; before !== written; await sleep(200)) before = written;
  expect(written).toBeLessThan(1 << 26);
  answer.destroy();
});

test("events reach the client as they are sent", async () => {
  const events: ((text: string) => void)[] = [];
  const source = new FakeSource(() => (_req, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    events.push((event) => response.write(event));
  });
  await using edge = await edgeOf(source);
  const answer = await fetch(edge.url());
  const reader = answer.body?.getReader();
  for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
    events[0]?.(event);
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe(event);
  }
  await reader?.cancel();
});

test("connections to a worker are used again", async () => {
  const source = numbered();
  await using edge = await edgeOf(source);
  for (let i = 0; i < 10; i++) await (await fetch(edge.url())).text();
  expect(source.workers[0]?.connections.size).toBe(1);
});

test("the answer to HEAD, and one without a body, end", async () => {
  const source = new FakeSource(() => (req, response) => {
    if (req.url === "/none") response.writeHead(204).end();
    else if (req.url === "/old") response.socket?.end("HTTP/1.0 200 OK\r\n\r\nto the end");
    else response.writeHead(200, { "content-length": 5 }).end(req.method === "HEAD" ? undefined : "hello");
  });
  await using edge = await edgeOf(source);
  const head = await fetch(edge.url(), { method: "HEAD" });
  expect([head.headers.get("content-length"), await head.text()]).toEqual(["5", ""]);
  expect((await fetch(`${edge.url()}/none`)).status).toBe(204);
  expect(await (await fetch(`${edge.url()}/old`)).text()).toBe("to the end");
});

/** Answers upgrades: by echoing what comes, or with a refusal. */
function echoing(): FakeSource {
  const source = numbered();
  const start = source.start.bind(source);
  source.start = async (signal) => {
    const worker = await start(signal);
    worker.server.on("upgrade", (req, socket, head) => {
      if (req.url === "/refused")
        return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: no\r\n\r\nno");
      const key = `${req.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash("sha1").update(key).digest("base64");
      socket.write(
        `HTTP/1.1 101 Hi\r\nConnection: Upgrade\r\nUpgrade: ${req.headers.upgrade}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      socket.on("data", (frame: Buffer) =>
        req.headers.upgrade === "echo" ? socket.write(frame) : socket.write(Buffer.from("\x81\x02hi", "latin1")),
      );
      socket.once("end", () => socket.end());
      return socket.write(head);
    });
    return worker;
  };
  return source;
}

test("a WebSocket is passed on, counted, and ends with its worker", async () => {
  const source = echoing();
  await using edge = await edgeOf(source);
  const socket = new WebSocket(edge.url().replace("http", "ws"));
  await once(socket as never, "open");
  socket.send("hello");
  const [message] = (await once(socket as never, "message")) as [{ data: string }];
  expect(message.data).toBe("hi");
  expect(edge.health().services[0]?.workers[0]).toMatchObject({ active: 1, unanswered: 0 });
  const closed = once(socket as never, "close");
  source.workers[0]?.die();
  await closed;
});

test("another protocol's bytes go both ways, those sent early too; a refusal is passed on", async () => {
  await using edge = await edgeOf(echoing());
  const socket = connect(edge.port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
  let seen = "";
  socket.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
  });
  await expect.poll(() => seen).toMatch(/^HTTP\/1\.1 101 .*upgrade: echo\r\n.*\r\n\r\nearly$/is);
  socket.write(" and late");
  await expect.poll(() => seen).toMatch(/early and late$/);
  socket.destroy();
  await expect.poll(() => edge.health().services[0]?.workers[0]?.active).toBe(0);

  const refused = connect(edge.port, "127.0.0.1");
  refused.write("GET /refused HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  expect(await text(refused)).toMatch(/^HTTP\/1\.1 403 Forbidden\r\nConnection: close\r\n.*X-Why: no\r\n\r\nno$/s);
});

test("without requests the workers stop, and the next request starts them", async () => {
  const source = numbered();
  await using edge = await edgeOf(source, { workers: 2, idleTimeoutMs: 100 });
  expect(await (await fetch(edge.url())).text()).toBe("worker 0");
  await expect.poll(() => edge.health().services[0]).toMatchObject({ state: "asleep", workers: [] });
  await expect.poll(() => source.workers.every(({ stopped }) => stopped)).toBe(true);
  const before = source.workers.length;
  expect(await (await fetch(edge.url())).text()).toBe(`worker ${before}`);
});

test("a service whose start takes longer than it may be idle becomes ready all the same", async () => {
  const source = numbered();
  source.beforeStart = () => sleep(200);
  await using edge = await HttpEdge.listen({ port: 0 });
  edge.add("web", source, { idleTimeoutMs: 20 });
  await edge.untilReady(AbortSignal.timeout(5_000));
  await expect.poll(() => edge.health().services[0]).toMatchObject({ state: "asleep", workers: [] });
});

test("closing lets a request come to its end, and refuses new ones", async () => {
  const held: ServerResponse[] = [];
  const source = new FakeSource(() => (_req, response) => void held.push(response));
  const edge = await edgeOf(source);
  const asking = fetch(edge.url());
  await expect.poll(() => held.length).toBe(1);
  const closing = edge.close({ graceMs: 30_000 });
  await expect(fetch(edge.url())).rejects.toThrow();
  held[0]?.end("the end");
  expect(await (await asking).text()).toBe("the end");
  await closing;
  expect(source.workers[0]?.stopped).toBe(true);
  expect(source.closed).toBe(true);
});
