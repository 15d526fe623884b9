import { createServer } from "node:net";
import { expect, test } from "vitest";
import { VmError } from "../../src/errors.js";
import { startAgent } from "./agent-under-test.js";

async function listen(host: string) {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, close: () => server.close() };
}

test.each(["127.0.0.1", "::1"])("a listener on %s is seen", async (host) => {
  await using running = await startAgent("sanitized");
  const { port, close } = await listen(host);
  await running.agent.awaitListener(port, { timeoutMs: 5_000 });
  close();
});

test("one that comes later is waited for", async () => {
  await using running = await startAgent("sanitized");
  const { port, close } = await listen("127.0.0.1");
  close();
  const waiting = running.agent.awaitListener(port, { timeoutMs: 20_000 });
  const server = createServer().listen(port, "127.0.0.1");
  await waiting;
  server.close();
});

test("one that never comes is an error that names others", async () => {
  await using running = await startAgent("sanitized");
  const { port, close } = await listen("127.0.0.1");
  const error = await running.agent.awaitListener(1, { timeoutMs: 30 }).catch((each: unknown) => each);
  close();
  expect(error).toBeInstanceOf(VmError);
  // The machine that runs the tests may listen on more ports than are named.
  expect((error as Error).message).toMatch(/see a listener on port 1: nobody listens on port 1, but on \d+/);
  expect(port).toBeGreaterThan(0);
});

test("the wait can be given up", async () => {
  await using running = await startAgent("sanitized");
  const controller = new AbortController();
  const waiting = running.agent.awaitListener(1, { timeoutMs: 60_000, signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 20);
  await expect(waiting).rejects.toThrow("enough");
  await running.agent.quiesce();
});
