import { expect, test } from "vitest";
import { ChannelReadable } from "../../src/guest/channel.js";
import { pseudoRandom } from "./frame-builder.js";

test.each([1, 2, 3, 4, 5, 6])(
  "a channel gives its bytes in order and all its credit back, however it is filled and read (seed %i)",
  async (seed) => {
    const random = pseudoRandom(seed);
    let consumed = 0;
    const channel = new ChannelReadable((bytes) => {
      consumed += bytes;
    });
    const sent: Buffer[] = [];
    const received: Buffer[] = [];
    for (let i = 0; i < 400; i++) {
      const length = 1 + (random(4) ? random(random(2) ? 5 : 3_000) : random(40_000));
      const bytes = Buffer.from(Array.from({ length }, () => random(256)));
      sent.push(Buffer.from(bytes));
      channel.deliver(bytes);
      bytes.fill(0, 0, bytes.length < 4_096 ? bytes.length : 0);
      if (random(10) === 0) await new Promise((resolve) => setImmediate(resolve));
      if (random(5) === 0) received.push(...([channel.read()].filter(Boolean) as Buffer[]));
    }
    channel.finish();
    for await (const chunk of channel) received.push(chunk as Buffer);
    expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true);
    expect(consumed).toBe(Buffer.concat(sent).length);
  },
);

test("a channel gathers single bytes, so that they do not cost a buffer each", async () => {
  const channel = new ChannelReadable(() => {});
  for (let i = 0; i < 60_000; i++) channel.deliver(Buffer.from([i & 0xff]));
  channel.finish();
  const chunks = (await channel.toArray()) as Buffer[];
  expect(Buffer.concat(chunks).length).toBe(60_000);
  expect(chunks.length).toBeLessThan(40);
});

test("a channel whose reader has left gives the credit for what still comes", () => {
  let consumed = 0;
  const channel = new ChannelReadable((bytes) => {
    consumed += bytes;
  });
  channel.deliver(Buffer.alloc(100));
  channel.destroy();
  channel.deliver(Buffer.alloc(50));
  expect(consumed).toBe(150);
});
