import { FieldWriter } from "../../src/guest/fields.js";
import { encodeHeader, type Frame, FrameType, MARK } from "../../src/guest/frames.js";

/** The bytes of a frame, also of one that no honest side would send. */
export function frame(type: number, payload: Uint8Array = Buffer.alloc(0), rest: Partial<Frame> = {}): Buffer {
  return Buffer.concat([encodeHeader({ channel: 0, flags: 0, stream: 0, ...rest, type }, payload.length), payload]);
}

/** A session's beginning as the host sends it. */
export function sessionFrame(nonce: Buffer): Buffer {
  return Buffer.concat([MARK, frame(FrameType.session, new FieldWriter().u16(1, 1).bytes(2, nonce).toBuffer())]);
}

/** A session's beginning as the agent answers it. */
export function sessionOk(nonce: Buffer): Buffer {
  const fields = new FieldWriter().u16(1, 1).string(2, "test").u32(3, 0).toBuffer();
  return Buffer.concat([MARK, nonce, frame(FrameType.sessionOk, fields)]);
}

/** RESULT of an agent. */
export function result(stream: number, kind: number, add: (fields: FieldWriter) => void = () => {}): Buffer {
  const fields = new FieldWriter().kind(kind);
  add(fields);
  return frame(FrameType.result, fields.toBuffer(), { stream });
}

/** Numbers that look random and are the same in every run (mulberry32). */
export function pseudoRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}
