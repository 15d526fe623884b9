import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { FrameType } from "../../src/guest/frames.js";
import { Agent } from "../../src/guest/index.js";
import { connected, FakeLink } from "./fake-link.js";
import { frame, pseudoRandom, result, sessionOk } from "./frame-builder.js";

const started = result(1, 1, (fields) => fields.u32(1, 42));
const data = (length: number, rest = {}): Buffer => frame(FrameType.data, Buffer.alloc(length), { stream: 1, ...rest });
const credit = (bytes: number): Buffer => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(bytes);
  return frame(FrameType.credit, payload, { stream: 1 });
};

/** What a guest may say after the command on stream 1 has started, and what the host makes of it. */
const LIES: [string, Buffer[], RegExp][] = [
  ["more data than it was allowed", [data(65_536), data(1)], /more DATA than was allowed/],
  ["data on a channel that the command has not", [data(1, { channel: 2 })], /DATA on channel 2/],
  ["data after its end", [frame(FrameType.end, Buffer.alloc(0), { stream: 1 }), data(1)], /DATA after END/],
  [
    "two ends",
    [frame(FrameType.end, Buffer.alloc(0), { stream: 1 }), frame(FrameType.end, Buffer.alloc(0), { stream: 1 })],
    /END on channel 0/,
  ],
  [
    "an end of a channel that the command has not",
    [frame(FrameType.end, Buffer.alloc(0), { stream: 1, channel: 9 })],
    /END on channel 9/,
  ],
  ["data for a stream that nobody opened", [data(1, { stream: 3 })], /stream 3, which is not open/],
  ["a stream of its own", [frame(FrameType.open, Buffer.from([1, 0]), { stream: 2 })], /frame type 5/],
  ["a second start", [started], /unexpected RESULT 1/],
  ["an unknown result", [result(1, 99)], /unexpected RESULT 99/],
  ["a result without a kind", [frame(FrameType.result, Buffer.alloc(1), { stream: 1 })], /without a kind/],
  ["DONE for a command", [result(1, 3)], /unexpected RESULT 3/],
  ["an exit without a code", [result(1, 2)], /not 4 bytes/],
  ["two exits", [result(1, 2, (f) => f.u32(1, 0)), result(1, 2, (f) => f.u32(1, 0))], /unexpected RESULT 2/],
  ["a failure without an errno", [result(1, 4)], /not 4 bytes/],
  ["a frame for the link that means nothing", [frame(FrameType.quiesced)], /unexpected frame of type 4/],
  ["a second session", [sessionOk(Buffer.alloc(16)).subarray(24)], /unexpected frame of type 2/],
  ["a control frame", [frame(FrameType.control, Buffer.alloc(2), { stream: 1 })], /frame type 9/],
  ["flags where none belong", [data(1, { flags: 1 })], /flags on frame type 6/],
  ["a close that answers nothing", [frame(FrameType.close, Buffer.alloc(0), { stream: 1 })], /CLOSE of stream 1/],
  ["credit without end", [credit(0x7fffffff), credit(0x7fffffff)], /CREDIT for more/],
  ["a credit of the wrong size", [frame(FrameType.credit, Buffer.alloc(3), { stream: 1 })], /malformed CREDIT/],
  ["a fault", [frame(FrameType.fault, Buffer.from("the \x1b[2Jreason"))], /ended the session: the \?\[2Jreason/],
];

function randomFrame(random: (limit: number) => number): Buffer {
  const payload = Buffer.from(Array.from({ length: random(40) }, () => random(5)));
  return frame(random(14), payload, { stream: random(6), channel: random(3), flags: random(8) ? 0 : random(4) });
}

describe("a hostile guest", () => {
  test.each(LIES)("that sends %s loses its connection, and the error says why", async (_name, frames, reason) => {
    const { agent, control } = await connected();
    const starting = agent.exec({ argv: ["x"] });
    control.say(started);
    const process = await starting;
    expect(process.pid).toBe(42);
    // Reads nothing, so that no credit is given back.
    control.say(...frames);
    const closed = await agent.closed;
    expect(closed).toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    expect(closed?.message).toMatch(reason);
    expect(closed?.message).toMatch(/broke the agent's protocol on the control link/);
    await expect(process.wait()).rejects.toBe(closed);
    await expect(agent.exec({ argv: ["y"] })).rejects.toBe(closed);
    await expect(agent.files.read("/x")).rejects.toBe(closed);
    expect([control.link.destroyed]).toEqual([true]);
  });

  test.each([
    ["ends a command before it starts", [result(1, 2, (f) => f.u32(1, 0))], /unexpected RESULT 2/],
    [
      "starts a command as no process",
      [result(1, 1, (f) => f.u32(1, 0)), result(1, 2, (f) => f.u32(1, 0))],
      /RESULT 2/,
    ],
  ])("that %s keeps nobody waiting", async (_name, frames, reason) => {
    const { agent, control } = await connected();
    const starting = agent.exec({ argv: ["x"] }).then((process) => process.wait());
    control.say(...frames);
    for (const channel of [0, 1]) control.say(frame(FrameType.end, Buffer.alloc(0), { stream: 1, channel }));
    await expect(starting).rejects.toThrow(reason);
  });

  test("that never answers is given up on, and the error says what was waited for", async () => {
    const links = { control: new FakeLink().link, bulk: new FakeLink().link };
    await expect(Agent.connect(links, { timeoutMs: 30 })).rejects.toThrow(/30 ms in vain for the agent to answer/);
    expect(links.control.destroyed && links.bulk.destroyed).toBe(true);
  });

  test("that never answers can be left by aborting", async () => {
    const links = { control: new FakeLink().link, bulk: new FakeLink().link };
    const controller = new AbortController();
    const connecting = Agent.connect(links, { signal: controller.signal });
    controller.abort(new Error("changed my mind"));
    await expect(connecting).rejects.toThrow("changed my mind");
  });

  test("that sends noise for ever instead of an answer is given up on", async () => {
    const control = new FakeLink();
    const connecting = Agent.connect({ control: control.link, bulk: new FakeLink().link }, { timeoutMs: 5_000 });
    for (let i = 0; i < 40; i++) control.say(Buffer.alloc(65_536));
    await expect(connecting).rejects.toThrow(/more than 1 MiB came before the answer/);
  });

  test("that never comes to rest is given up on", async () => {
    const { agent } = await connected();
    await expect(agent.quiesce({ timeoutMs: 30 })).rejects.toThrow(/the agent to come to rest/);
    agent.close();
  });

  test("may still have frames on the way for a stream that was closed, until it has answered that", async () => {
    const { agent, control } = await connected();
    const controller = new AbortController();
    const starting = agent.exec({ argv: ["x"] }, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(starting).rejects.toThrow("enough");
    control.say(
      started,
      data(65_536),
      data(65_536),
      result(1, 2, (f) => f.u32(1, 0)),
      frame(FrameType.close, Buffer.alloc(0), { stream: 1 }),
    );
    await sleep(5);
    const second = agent.exec({ argv: ["x"] });
    control.say(result(3, 1, (f) => f.u32(1, 43)));
    expect((await second).pid).toBe(43);
    control.say(data(1));
    expect((await agent.closed)?.message).toMatch(/stream 1, which is not open/);
  });

  test("cannot make the host buffer more than the credit of a channel that nobody reads", async () => {
    const { agent, control } = await connected();
    const starting = agent.exec({ argv: ["x"] });
    control.say(started);
    const process = await starting;
    control.say(data(65_536));
    control.say(frame(FrameType.data, Buffer.alloc(65_536), { stream: 1, channel: 1 }));
    await sleep(5);
    expect(process.stdout.readableLength).toBeLessThanOrEqual(65_536);
    control.received = Buffer.alloc(0);
    process.stdout.resume();
    await expect.poll(() => control.received.length).toBe(16);
    expect(control.received.readUInt32LE(12)).toBe(65_536);
    agent.close();
  });

  test("may send more of a command's output that is consumed, on each channel so much as its window has become", async () => {
    const { agent, control } = await connected();
    control.received = Buffer.alloc(0);
    const starting = agent.exec({ argv: ["x"], outputWindow: 100_000 });
    await expect.poll(() => control.received.length).toBeGreaterThan(0);
    control.say(started);
    const process = await starting;
    process.stdout.resume();
    process.stderr.resume();
    control.received = Buffer.alloc(0);
    // The window and what it may grow by; then only what was consumed.
    for (const granted of [65_536 + 34_464, 65_536]) {
      control.say(data(65_536));
      await expect.poll(() => control.received.length).toBe(16);
      expect(control.received.readUInt32LE(12)).toBe(granted);
      control.received = Buffer.alloc(0);
    }
    control.say(data(16_384, { channel: 1 }));
    await expect.poll(() => control.received.length).toBe(16);
    expect(control.received.readUInt32LE(12)).toBe(16_384 + 16_384);
    process.stdout.pause();
    // The first still goes into the buffer of the one who reads.
    control.say(data(65_536), data(65_536), data(34_465));
    expect((await agent.closed)?.message).toMatch(/more DATA than was allowed/);
  });

  test.each([1, 2, 3, 4, 5])("that sends random frames ends in a VmError at worst (seed %i)", async (seed) => {
    const random = pseudoRandom(seed);
    for (let round = 0; round < 40; round++) {
      const { agent, control, bulk } = await connected();
      const pending = [
        agent.exec({ argv: ["x"] }),
        agent.exec({ argv: ["y"] }),
        agent.files.read("/x"),
        agent.files.write("/y", "content"),
        agent.quiesce(),
      ];
      const outcomes = Promise.allSettled(pending);
      for (let i = 0; i < 20; i++) (random(2) ? control : bulk).say(randomFrame(random));
      await sleep(1);
      agent.close();
      for (const outcome of await outcomes) {
        if (outcome.status === "rejected") expect(outcome.reason.code).toMatch(/^ERR_SUPERMACHINE_/);
      }
    }
  });
});
