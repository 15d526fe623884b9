import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FieldWriter } from "../../src/guest/fields.js";
import { FLAG_MORE, type Frame, FrameDecoder, FrameType } from "../../src/guest/frames.js";
import { Agent } from "../../src/guest/index.js";
import { type AgentProcess, run, startAgentProcess } from "./agent-under-test.js";
import { frame, pseudoRandom, sessionFrame } from "./frame-builder.js";

/** Begins a session with the bare hands; `received` grows with the agent's frames. */
async function bareSession(link: Duplex): Promise<{ received: Frame[]; stop: () => void }> {
  const nonce = randomBytes(16);
  const decoder = new FrameDecoder(nonce);
  const received: Frame[] = [];
  const onData = (chunk: Buffer): void =>
    decoder.push(chunk, (each) => received.push({ ...each, payload: Buffer.from(each.payload) }));
  link.on("data", onData);
  link.write(sessionFrame(nonce));
  await expect.poll(() => received[0]?.type, { interval: 2 }).toBe(FrameType.sessionOk);
  return { received, stop: () => link.off("data", onData) };
}

const exec = (...argv: string[]): Buffer => {
  const fields = new FieldWriter().kind(1);
  for (const argument of argv) fields.string(1, argument);
  return fields.u32(5, 1).toBuffer();
};
const credit = (bytes: number): Buffer => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(bytes);
  return payload;
};
const oversized = (): Buffer => {
  const bytes = frame(FrameType.data, Buffer.alloc(0), { stream: 1 });
  bytes.writeUInt32LE(65_537, 0);
  return bytes;
};
const openCat = frame(FrameType.open, exec("cat"), { stream: 1 });

const FAULTS: [string, Buffer[], RegExp][] = [
  ["a frame that is too long", [oversized()], /65537 bytes/],
  ["an unknown frame type", [frame(77)], /unknown frame type/],
  ["a frame that only the agent sends", [frame(FrameType.result)], /unknown frame type/],
  ["DATA for a stream that was never opened", [frame(FrameType.data, Buffer.from("x"), { stream: 9 })], /never opened/],
  ["CLOSE of a stream that was never opened", [frame(FrameType.close, Buffer.alloc(0), { stream: 9 })], /never opened/],
  ["an even stream number", [frame(FrameType.open, exec("cat"), { stream: 2 })], /even or not new/],
  ["a stream number that was used", [openCat, openCat], /even or not new/],
  ["an OPEN of an unknown kind", [frame(FrameType.open, Buffer.from([99, 0]), { stream: 1 })], /unknown kind/],
  ["an OPEN without a kind", [frame(FrameType.open, Buffer.from([1]), { stream: 1 })], /no kind/],
  ["an EXEC without a command", [frame(FrameType.open, Buffer.from([1, 0]), { stream: 1 })], /no command/],
  [
    "a field that is too long",
    [frame(FrameType.open, Buffer.from([1, 0, 1, 0, 9, 0, 0, 0, 65]), { stream: 1 })],
    /longer than its frame/,
  ],
  ["a NUL in an argument", [frame(FrameType.open, exec("a\0b"), { stream: 1 })], /NUL/],
  [
    "a frame between the pieces of an OPEN",
    [frame(FrameType.open, exec("cat"), { stream: 1, flags: FLAG_MORE }), frame(FrameType.quiesce)],
    /within an OPEN/,
  ],
  [
    "pieces of two OPENs mixed",
    [
      frame(FrameType.open, exec("cat"), { stream: 1, flags: FLAG_MORE }),
      frame(FrameType.open, exec("cat"), { stream: 3 }),
    ],
    /another stream's OPEN/,
  ],
  [
    "an OPEN of more than 1 MiB",
    Array.from({ length: 17 }, () => frame(FrameType.open, Buffer.alloc(65_536), { stream: 1, flags: FLAG_MORE })),
    /more than 1 MiB/,
  ],
  ["unknown flags", [frame(FrameType.quiesce, Buffer.alloc(0), { flags: 4 })], /unknown flags/],
  [
    "more DATA than was allowed",
    [frame(FrameType.open, exec("sleep", "5"), { stream: 1 }), ...overrun()],
    /more bytes than were allowed/,
  ],
  [
    "DATA on an unknown channel",
    [openCat, frame(FrameType.data, Buffer.from("x"), { stream: 1, channel: 1 })],
    /unknown channel/,
  ],
  [
    "DATA after END",
    [
      frame(FrameType.open, exec("sleep", "5"), { stream: 1 }),
      frame(FrameType.end, Buffer.alloc(0), { stream: 1 }),
      frame(FrameType.data, Buffer.from("x"), { stream: 1 }),
    ],
    /DATA after END/,
  ],
  ["a credit of the wrong size", [openCat, frame(FrameType.credit, Buffer.alloc(3), { stream: 1 })], /four bytes/],
  ["a credit that overflows", [openCat, frame(FrameType.credit, credit(0xffffffff), { stream: 1 })], /4 GiB/],
  [
    "credit for an unknown channel",
    [openCat, frame(FrameType.credit, credit(1), { stream: 1, channel: 2 })],
    /unknown channel/,
  ],
  ["an unknown CONTROL", [openCat, frame(FrameType.control, Buffer.from([9, 0]), { stream: 1 })], /unknown operation/],
  [
    "an unknown signal",
    [openCat, frame(FrameType.control, new FieldWriter().kind(1).u32(1, 65).toBuffer(), { stream: 1 })],
    /unknown signal/,
  ],
];

function overrun(): Buffer[] {
  // The pipe takes some, the window is 65,536 whatever it takes: nothing is given back before a reader has read.
  return Array.from({ length: 40 }, () => frame(FrameType.data, Buffer.alloc(32_768), { stream: 1 }));
}

describe.each(["plain", "sanitized"] as const)("a host that breaks the protocol (%s agent)", (build) => {
  let process: AgentProcess;
  beforeEach(() => {
    process = startAgentProcess(build);
  }, 120_000);
  afterEach(() => process[Symbol.asyncDispose]());

  const expectHealthy = async (): Promise<void> => {
    const agent = await Agent.connect(process.links, { timeoutMs: 20_000 });
    for (const link of ["control", "bulk"] as const) {
      expect((await run(agent, ["echo", "alive"], { link })).stdout.toString()).toBe("alive\n");
    }
    agent.close();
  };

  test.each(FAULTS)("by %s is told why, and can begin anew", async (_name, frames, reason) => {
    const { received, stop } = await bareSession(process.links.control);
    for (const each of frames) process.links.control.write(each);
    await expect.poll(() => received.at(-1)?.type).toBe(FrameType.fault);
    expect(received.at(-1)?.payload.toString()).toMatch(reason);
    expect(process.console()).toMatch(reason);
    stop();
    await expectHealthy();
  });

  test("before any session gets no answer, and can begin", async () => {
    process.links.control.write(Buffer.concat([openCat, randomBytes(1000)]));
    await expectHealthy();
  });

  test("with a session of another version is ignored until it sends one that is understood", async () => {
    process.links.control.write(
      frame(FrameType.session, new FieldWriter().u16(1, 2).bytes(2, randomBytes(16)).toBuffer()),
    );
    await expectHealthy();
  });

  test("may send for streams that have just ended", async () => {
    const { received, stop } = await bareSession(process.links.control);
    process.links.control.write(frame(FrameType.open, exec("true"), { stream: 1 }));
    await expect.poll(() => received.filter((each) => each.type === FrameType.end).length).toBe(2);
    await expect.poll(() => received.filter((each) => each.type === FrameType.result).length).toBe(2);
    for (const late of [
      frame(FrameType.data, Buffer.from("x"), { stream: 1 }),
      frame(FrameType.end, Buffer.alloc(0), { stream: 1 }),
      frame(FrameType.credit, credit(5), { stream: 1 }),
      frame(FrameType.control, new FieldWriter().kind(1).u32(1, 9).toBuffer(), { stream: 1 }),
      frame(FrameType.close, Buffer.alloc(0), { stream: 1 }),
      frame(FrameType.close, Buffer.alloc(0), { stream: 1 }),
    ]) {
      process.links.control.write(late);
    }
    await expect.poll(() => received.filter((each) => each.type === FrameType.close).length).toBe(2);
    expect(received.some((each) => each.type === FrameType.fault)).toBe(false);
    stop();
    await expectHealthy();
  });

  test.each([1, 2, 3, 4])(
    "with random frames (seed %i) never harms the agent",
    async (seed) => {
      const random = pseudoRandom(seed);
      for (let round = 0; round < 60; round++) {
        const { stop } = await bareSession(process.links.bulk);
        const count = 1 + random(30);
        for (let i = 0; i < count; i++) process.links.bulk.write(randomFrame(random));
        stop();
      }
      await expectHealthy();
      expect(process.console()).not.toMatch(/Sanitizer|runtime error/);
    },
    60_000,
  );
});

/** Mostly well-formed, for otherwise the first frame would end each session. Runs nothing but `true` and reads nothing but /dev/null. */
function randomFrame(random: (limit: number) => number): Buffer {
  const streams = [1, 3, 5, 7, 9, 11];
  const stream = streams[random(streams.length)] ?? 1;
  const bytes = (limit: number): Buffer => Buffer.from(Array.from({ length: random(limit) }, () => random(256)));
  const openings = [
    exec("true"),
    exec("cat"),
    new FieldWriter().kind(2).string(1, "/dev/null").toBuffer(),
    exec("head", "-c", "100000", "/dev/zero"),
  ];
  switch (random(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return frame(FrameType.open, openings[random(openings.length)], { stream });
    case 4:
    case 5:
      return frame(FrameType.data, bytes(3000), { stream });
    case 6:
      return frame(FrameType.end, Buffer.alloc(0), { stream });
    case 7:
      return frame(FrameType.credit, credit(random(100_000)), { stream, channel: random(3) });
    case 8:
      return frame(FrameType.control, new FieldWriter().kind(1).u32(1, random(20)).u8(2, random(2)).toBuffer(), {
        stream,
      });
    case 9:
      return frame(FrameType.close, Buffer.alloc(0), { stream });
    case 10:
      return frame(random(14), bytes(100), { stream: random(14), channel: random(3), flags: random(3) });
    default:
      return bytes(60);
  }
}
