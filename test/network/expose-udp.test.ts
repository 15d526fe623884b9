import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { GuestNetwork } from "../../src/guest/index.js";
import { exposeUdp } from "../../src/network/expose.js";

const MINUTE_MS = 60_000;

/** A guest that answers each datagram with itself, and counts who has come and gone. */
function echoingGuest(): { network: GuestNetwork; open: Set<number>; answer: (sender: number, text: string) => void } {
  const open = new Set<number>();
  const answers: ((text: string) => void)[] = [];
  const connectUdp: GuestNetwork["connectUdp"] = (_to, { datagram, over }) => {
    const number = answers.push((text) => datagram(Buffer.from(text))) - 1;
    open.add(number);
    const close = () => open.delete(number) && over();
    return { send: (content) => datagram(Buffer.from(content)), close };
  };
  return {
    network: { connectUdp } as unknown as GuestNetwork,
    open,
    answer: (sender, text) => answers[sender]?.(text),
  };
}

const sockets: Socket[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const socket of sockets.splice(0)) socket.close();
});

async function ask(port: number, socket = createSocket("udp4")): Promise<Socket> {
  if (!sockets.includes(socket)) sockets.push(socket);
  const answered = once(socket, "message");
  socket.send("hello", port, "127.0.0.1");
  expect(String((await answered)[0])).toBe("hello");
  return socket;
}

describe("an exposed UDP port", () => {
  test("forgets who was heard of longest ago when there are more senders than it keeps", async () => {
    const { network, open } = echoingGuest();
    await using exposed = await exposeUdp(network, { guestPort: 53 });
    const first = await ask(exposed.hostPort);
    for (let i = 1; i < 1_024; i++) await ask(exposed.hostPort);
    await ask(exposed.hostPort, first);
    await ask(exposed.hostPort);
    expect(open.size).toBe(1_024);
    expect([open.has(0), open.has(1)]).toEqual([true, false]);
  });

  test("keeps a sender for as long as something goes to it", async () => {
    const { network, open, answer } = echoingGuest();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await using exposed = await exposeUdp(network, { guestPort: 53 });
    await ask(exposed.hostPort);
    vi.advanceTimersByTime(MINUTE_MS - 1_000);
    answer(0, "news");
    vi.advanceTimersByTime(MINUTE_MS - 1_000);
    expect(open.size).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(open.size).toBe(0);
  });

  test("ends all senders when it is closed", async () => {
    const { network, open } = echoingGuest();
    const exposed = await exposeUdp(network, { guestPort: 53 });
    await ask(exposed.hostPort);
    await exposed.close();
    expect(open.size).toBe(0);
  });
});
