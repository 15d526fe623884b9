import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { Fields, FieldWriter } from "../../src/guest/fields.js";
import { type Frame, FrameDecoder, FrameType, MARK } from "../../src/guest/frames.js";
import { frame, pseudoRandom, sessionOk } from "./frame-builder.js";

const nonce = Buffer.alloc(16, 7);

function decode(bytes: Buffer, pieceOf: (left: number) => number): Frame[] {
  const decoder = new FrameDecoder(nonce);
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = pieceOf(bytes.length - at);
    decoder.push(bytes.subarray(at, at + length), (each) =>
      frames.push({ ...each, payload: Buffer.from(each.payload) }),
    );
    at += length;
  }
  return frames;
}

describe("frames", () => {
  const sent = [
    sessionOk(nonce),
    frame(FrameType.data, Buffer.from("hello"), { stream: 1, channel: 1 }),
    frame(FrameType.end, Buffer.alloc(0), { stream: 0xfffffffe, flags: 2 }),
    frame(FrameType.data, randomBytes(65_536), { stream: 3 }),
  ];
  const bytes = Buffer.concat(sent);

  test.each([1, 2, 3, 11, 12, 13, 4_096, 1_000_000])("are the same however they are cut (pieces of %i)", (size) => {
    const frames = decode(bytes, () => size);
    expect(frames.map((each) => each.type)).toEqual([2, 6, 7, 6]);
    expect(frames[1]).toMatchObject({ stream: 1, channel: 1, flags: 0, payload: Buffer.from("hello") });
    expect(frames[2]).toMatchObject({ stream: 0xfffffffe, flags: 2, payload: Buffer.alloc(0) });
    expect(frames[3]?.payload.equals(sent[3]?.subarray(12) ?? Buffer.alloc(0))).toBe(true);
  });

  test.each([1, 2, 3])("begin after the session's own mark, whatever precedes it (seed %i)", (seed) => {
    const random = pseudoRandom(seed);
    const noise = Buffer.concat(
      Array.from({ length: 50 }, () =>
        random(3) ? Buffer.from(Array.from({ length: random(900) }, () => random(256))) : MARK.subarray(0, random(9)),
      ),
    );
    const other = sessionOk(Buffer.alloc(16, 8));
    const frames = decode(Buffer.concat([noise, other, bytes]), (left) => 1 + random(Math.min(left, 3_000)));
    expect(frames.map((each) => each.type)).toEqual([2, 6, 7, 6]);
  });

  test("do not begin after more than 1 MiB of noise", () => {
    expect(decode(Buffer.concat([Buffer.alloc((1 << 20) - 100), bytes]), () => 65_536).length).toBe(4);
    expect(() => decode(Buffer.concat([Buffer.alloc(1 << 21), bytes]), () => 65_536)).toThrow("more than 1 MiB");
  });

  test("of more than 64 KiB are refused by their header alone", () => {
    const header = frame(FrameType.data, Buffer.alloc(0), { stream: 1 });
    header.writeUInt32LE(65_537, 0);
    expect(() => decode(Buffer.concat([sessionOk(nonce), header]), (left) => left)).toThrow("65537 bytes");
  });
});

describe("fields", () => {
  test("come back as they were written", () => {
    const payload = new FieldWriter()
      .u16(1, 65_535)
      .u32(2, 4_294_967_295)
      .u64(3, 2n ** 63n)
      .string(4, "grüße")
      .toBuffer();
    const fields = new Fields(payload, [1, 2, 3, 4]);
    expect([fields.u16(1), fields.u32(2), fields.u64(3), fields.text(4)]).toEqual([
      65_535,
      4_294_967_295,
      2n ** 63n,
      "grüße",
    ]);
    expect([fields.has(1), fields.has(5)]).toEqual([true, false]);
  });

  test("that are unknown are refused, unless they say that they may be ignored", () => {
    expect(() => new Fields(new FieldWriter().u16(9, 1).toBuffer(), [1])).toThrow("unexpected field 9");
    expect(new Fields(new FieldWriter().u16(0x8009, 1).u16(1, 5).toBuffer(), [1]).u16(1)).toBe(5);
  });

  test("that come twice, are too long, too short or of the wrong size are refused", () => {
    expect(() => new Fields(new FieldWriter().u16(1, 1).u16(1, 1).toBuffer(), [1])).toThrow("unexpected field 1");
    expect(() => new Fields(Buffer.from([1, 0, 5, 0, 0, 0, 65]), [1])).toThrow("longer than its frame");
    expect(() => new Fields(Buffer.from([1, 0, 5]), [1])).toThrow("without its header");
    expect(() => new Fields(new FieldWriter().u16(1, 1).toBuffer(), [1]).u32(1)).toThrow("not 4 bytes");
    expect(() => new Fields(Buffer.alloc(0), [1]).u32(1)).toThrow("not 4 bytes");
  });

  test("for people cannot move a terminal's cursor", () => {
    const fields = new Fields(new FieldWriter().string(1, `a\x1b[2Jb\x07\x9bc${"x".repeat(5_000)}`).toBuffer(), [1]);
    expect(fields.text(1)).not.toMatch(/\p{Cc}/u);
    expect(fields.text(1).length).toBe(1_000);
  });
});
