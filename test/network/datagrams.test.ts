import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Ends, GuestNetwork } from "../../src/guest/index.js";
import { Datagrams } from "../../src/network/datagrams.js";

let server: Socket;
let heard: number;
let answers: string[];
let refused: string[];
let datagrams: Datagrams;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  [heard, answers, refused] = [0, [], []];
  server = createSocket("udp4", (bytes, { port, address }) => {
    heard++;
    if (bytes.toString() !== "quiet") server.send(`<${bytes}`, port, address);
  });
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  const network = {
    sendDatagram: (ends: Ends, content: Buffer) => answers.push(`${ends.destination.port} ${content}`),
    refuseDatagram: (ends: Ends, why: string) => refused.push(`${ends.source.port} ${why}`),
  };
  datagrams = new Datagrams(network as unknown as GuestNetwork, () => undefined);
});
afterEach(() => {
  datagrams.close();
  server.close();
  vi.useRealTimers();
});

const to = { address: "192.0.2.1", port: 53 };
const ends = (port: number): Ends => ({ source: { address: "10.0.2.15", port }, destination: to });

/** Sends on the flow of this port, which is begun if there is none. */
function send(port: number, content: string, target = server.address().port): void {
  if (!datagrams.send(ends(port), Buffer.from(content))) {
    datagrams.add(ends(port), { address: "127.0.0.1", port: target });
    datagrams.send(ends(port), Buffer.from(content));
  }
}
/** Waits without the clock, which stands still here. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
const exists = (port: number) => datagrams.send(ends(port), Buffer.from("quiet"));

describe("a flow of datagrams", () => {
  test("ends 30 s after the last one that nobody has answered", async () => {
    send(1, "quiet");
    await until(() => heard === 1);
    vi.advanceTimersByTime(29_000);
    send(1, "quiet");
    await until(() => heard === 2);
    vi.advanceTimersByTime(29_999);
    expect(datagrams.open).toBe(1);
    vi.advanceTimersByTime(1);
    expect(datagrams.open).toBe(0);
  });

  test("ends 180 s after the last one once there was an answer", async () => {
    send(1, "hello");
    await until(() => answers.length > 0);
    expect(answers).toEqual(["1 <hello"]);
    vi.advanceTimersByTime(179_999);
    expect(exists(1)).toBe(true);
    vi.advanceTimersByTime(179_999);
    expect(datagrams.open).toBe(1);
    vi.advanceTimersByTime(1);
    expect(datagrams.open).toBe(0);
  });

  test("is told that nobody is there, and ends", async () => {
    const gone = createSocket("udp4").bind(0, "127.0.0.1");
    await once(gone, "listening");
    const { port } = gone.address();
    gone.close();
    await once(gone, "close");
    send(1, "hello", port);
    await until(() => refused.length > 0);
    expect(refused).toEqual(["1 ECONNREFUSED"]);
    expect(datagrams.open).toBe(0);
  });
});

test("of 1,024 flows the one used longest ago gives way", () => {
  for (let port = 1; port <= 1_024; port++) send(port, "quiet");
  expect(exists(1)).toBe(true);
  send(2_000, "quiet");
  expect(datagrams.open).toBe(1_024);
  expect([exists(1), exists(2), exists(3)]).toEqual([true, false, true]);
});
