import type { Duplex, Writable } from "node:stream";

/** What a frame on a connection between a supervisor and a client carries. */
export const FrameType = { stdin: 0, stdout: 1, stderr: 2, control: 3 } as const;
export type FrameTypeValue = (typeof FrameType)[keyof typeof FrameType];

export interface Frame {
  type: FrameTypeValue;
  payload: Buffer;
}

const HEADER = 5;
const MAX_PAYLOAD = 1 << 20;

/** Writes one frame: a type byte, the payload's length (u32, big-endian), the payload. @returns false when the writer should wait */
export function writeFrame(socket: Writable, type: FrameTypeValue, payload: Uint8Array): boolean {
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(type, 0);
  header.writeUInt32BE(payload.length, 1);
  socket.cork();
  socket.write(header);
  const more = socket.write(payload);
  socket.uncork();
  return more;
}

/** Reads the frames of a connection to its end. @throws Error on a frame that is none, or that is cut off */
export async function* readFrames(socket: Duplex): AsyncGenerator<Frame> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (;;) {
      if (pending.length < HEADER) break;
      const [type, length] = [pending.readUInt8(0), pending.readUInt32BE(1)];
      if (type > FrameType.control || length > MAX_PAYLOAD) throw new Error(`a malformed frame (${type}, ${length})`);
      if (pending.length < HEADER + length) break;
      yield { type: type as FrameTypeValue, payload: pending.subarray(HEADER, HEADER + length) };
      pending = pending.subarray(HEADER + length);
    }
  }
  if (pending.length > 0) throw new Error("the connection ended within a frame");
}
