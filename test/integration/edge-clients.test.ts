import { readFileSync } from "node:fs";
import { Agent, get, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { WebSocket } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type HttpEdge, Image, type ServeOptions, serve } from "../../src/index.js";
import { debianPythonImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";
import { freshHome } from "../support/test-home.js";

const SERVER = readFileSync(join(import.meta.dirname, "../support/servers/edge-cases.py"), "utf8");

let current: ReturnType<typeof freshHome>;
let image: Image;

beforeAll(async () => {
  current = freshHome();
  image = await Image.fromOci(`oci-archive:${(await debianPythonImage()).archive}`, {
    ...{ name: "clients", entrypoint: ["python3", "-c", SERVER], cmd: [], ready: "listener", guestPort: 8080 },
  });
});
afterAll(async () => {
  expect(await remainingWorkers()).toEqual([]);
  current[Symbol.dispose]();
});

async function served(options: ServeOptions = {}): Promise<HttpEdge> {
  const edge = await serve(image, { port: 0, ...options });
  await edge.untilReady();
  return edge;
}

/** The answer of a request on a connection of its own. */
function ask(edge: HttpEdge, path: string): Promise<{ status: number | undefined; body: string }> {
  const agent = new Agent();
  return new Promise((resolve, reject) => {
    get(`${edge.url()}${path}`, { agent }, (response: IncomingMessage) => {
      text(response).then((body) => resolve({ status: response.statusCode, body }), reject);
    }).once("error", reject);
  });
}

const worker = (edge: HttpEdge) => edge.health().services[0]?.workers[0];

test("1,000 requests at a time at 2 microVMs are answered rightly, or refused as soon as the queue is full", async () => {
  await using edge = await served({ workers: 2, concurrency: 16, queueLimit: 100 });
  await expect.poll(() => edge.health().services[0]?.workers.length).toBe(2);
  const answers = await Promise.all(Array.from({ length: 1_000 }, (_, i) => ask(edge, `/echo/${i}`)));
  const right = answers.filter(({ status, body }, i) => status === 200 && body === String(i));
  const refused = answers.filter(
    ({ status, body }) => status === 503 && body.includes("100 requests wait for clients already"),
  );
  expect(right.length + refused.length).toBe(1_000);
  // Those that were under way and those that waited, at least.
  expect(right.length).toBeGreaterThanOrEqual(132);
  expect(edge.health().services[0]).toMatchObject({ lost: 0, queue: { waiting: 0 } });
  expect(await ask(edge, "/echo/after")).toEqual({ status: 200, body: "after" });
});

test("a WebSocket reaches the server in the guest, and keeps its worker awake", async () => {
  await using edge = await served({ idleTimeoutMs: 300 });
  const socket = new WebSocket(`${edge.url().replace("http", "ws")}/ws`);
  const events: string[] = [];
  socket.addEventListener("message", ({ data }) => events.push(data.length > 100 ? `${data.length}` : data));
  socket.addEventListener("close", ({ code }) => events.push(`closed ${code}`));
  socket.addEventListener("error", ({ message }) => events.push(`failed: ${message}`));
  await expect
    .poll(() => ({ opened: socket.readyState, events, ...edge.health().services[0] }))
    .toMatchObject({ opened: WebSocket.OPEN });
  socket.send("hello");
  socket.send("x".repeat(20_000));
  await expect.poll(() => events).toEqual(["hello", "20000"]);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(edge.health().services[0]?.state).toBe("ready");
  socket.send("still there");
  await expect.poll(() => events.at(-1)).toBe("still there");
  socket.close(1000);
  await expect.poll(() => events.at(-1)).toBe("closed 1000");
  await expect.poll(() => edge.health().services[0]?.state).toBe("asleep");
});

test("clients that send their headers byte by byte take no worker, and do not hold up others", async () => {
  await using edge = await served({ concurrency: 1, queueLimit: 0, headersTimeoutMs: 5_000 });
  const slow: Socket[] = [];
  const answers: string[] = [];
  for (let i = 0; i < 100; i++) {
    const socket = connect(edge.port, "127.0.0.1").on("error", () => undefined);
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    void text(socket).then((answer) => answers.push(answer));
    slow.push(socket);
  }
  const dripping = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write("x");
  }, 200);
  expect(await ask(edge, "/echo/quick")).toEqual({ status: 200, body: "quick" });
  expect(worker(edge)).toMatchObject({ active: 0, requests: 1 });
  await expect.poll(() => answers.length).toBe(100);
  clearInterval(dripping);
  expect(answers.filter((answer) => !answer.startsWith("HTTP/1.1 408 "))).toEqual([]);
  expect(worker(edge)).toMatchObject({ active: 0, requests: 1 });
});

test("a client that goes away in the middle frees its worker, and the server in the guest notices", async () => {
  await using edge = await served({ concurrency: 1 });
  const asking = get(`${edge.url()}/stream`).on("error", () => undefined);
  await new Promise((resolve) => asking.once("response", (response) => response.once("data", resolve)));
  expect(worker(edge)?.active).toBe(1);
  asking.destroy();
  await expect.poll(() => worker(edge)?.active).toBe(0);
  await expect.poll(async () => (await ask(edge, "/gone")).body).toBe("1");
});
