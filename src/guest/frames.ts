/** Frames of the agent's protocol as bytes (docs/agent-protocol.md). */

export const PROTOCOL_VERSION = 1;
export const MARK = Buffer.from([0x89, 0x53, 0x4d, 0x53, 0x59, 0x4e, 0x43, 0x0a]);
export const NONCE_BYTES = 16;

const HEADER_BYTES = 12;
const PAYLOAD_MAX = 65_536;
/** A socket gives chunks of 64 KiB. */
const VIEW_MIN = 4_096;
const NOISE_MAX = 1 << 20;

export const FrameType = {
  session: 1,
  sessionOk: 2,
  quiesce: 3,
  quiesced: 4,
  open: 5,
  data: 6,
  end: 7,
  credit: 8,
  control: 9,
  result: 10,
  close: 11,
  fault: 12,
  resume: 13,
} as const;

export const FLAG_MORE = 1;
export const FLAG_TRUNCATED = 2;

export interface Frame {
  type: number;
  channel: number;
  flags: number;
  stream: number;
  payload: Buffer;
}

/** The header of a frame; the payload follows it as it is, uncopied. */
export function encodeHeader(frame: Omit<Frame, "payload">, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32LE(length, 0);
  header[4] = frame.type;
  header[5] = frame.channel;
  header.writeUInt16LE(frame.flags, 6);
  header.writeUInt32LE(frame.stream, 8);
  return header;
}

/**
 * Cuts what comes from the agent into frames. Until mark and nonce of the new session have passed, everything is thrown away as
 * belonging to an earlier one. Errors are plain: the link says whose they are.
 */
export class FrameDecoder {
  readonly #start: Buffer;
  #noise: Buffer | undefined = Buffer.alloc(0);
  #noiseBytes = 0;
  readonly #header = Buffer.allocUnsafe(HEADER_BYTES);
  #headerUsed = 0;
  #frame: Frame | undefined;
  #payloadUsed = 0;

  constructor(nonce: Buffer) {
    this.#start = Buffer.concat([MARK, nonce]);
  }

  /** Calls `take` for each frame that is complete now. A payload may be a view of `chunk`. */
  push(chunk: Buffer, take: (frame: Frame) => void): void {
    let rest = this.#noise === undefined ? chunk : this.#skipNoise(chunk);
    while (rest.length > 0)
      rest = this.#frame === undefined ? this.#takeHeader(rest, take) : this.#takePayload(rest, take);
  }

  #skipNoise(chunk: Buffer): Buffer {
    const bytes = this.#noise?.length ? Buffer.concat([this.#noise, chunk]) : chunk;
    const at = bytes.indexOf(this.#start);
    if (at >= 0) {
      this.#noise = undefined;
      return bytes.subarray(at + this.#start.length);
    }
    const kept = Math.min(bytes.length, this.#start.length - 1);
    this.#noiseBytes += bytes.length - kept;
    if (this.#noiseBytes > NOISE_MAX) throw new Error("more than 1 MiB came before the answer to SESSION");
    this.#noise = Buffer.from(bytes.subarray(bytes.length - kept));
    return Buffer.alloc(0);
  }

  #takeHeader(rest: Buffer, take: (frame: Frame) => void): Buffer {
    const count = Math.min(HEADER_BYTES - this.#headerUsed, rest.length);
    rest.copy(this.#header, this.#headerUsed, 0, count);
    this.#headerUsed += count;
    const after = rest.subarray(count);
    if (this.#headerUsed < HEADER_BYTES) return after;
    this.#headerUsed = 0;
    return this.#begin(after, take);
  }

  #begin(rest: Buffer, take: (frame: Frame) => void): Buffer {
    const header = this.#header;
    const length = header.readUInt32LE(0);
    if (length > PAYLOAD_MAX) throw new Error(`a frame of ${length} bytes`);
    const frame: Frame = {
      type: header.readUInt8(4),
      channel: header.readUInt8(5),
      flags: header.readUInt16LE(6),
      stream: header.readUInt32LE(8),
      payload: rest.subarray(0, length),
    };
    if (rest.length >= length) {
      // A view would hold the whole chunk for as long as somebody keeps the few bytes.
      if (length < VIEW_MIN) frame.payload = Buffer.from(frame.payload);
      take(frame);
      return rest.subarray(length);
    }
    frame.payload = Buffer.allocUnsafe(length);
    this.#payloadUsed = 0;
    this.#frame = frame;
    return this.#takePayload(rest, take);
  }

  #takePayload(rest: Buffer, take: (frame: Frame) => void): Buffer {
    const frame = this.#frame;
    if (frame === undefined) return rest;
    const count = Math.min(frame.payload.length - this.#payloadUsed, rest.length);
    rest.copy(frame.payload, this.#payloadUsed, 0, count);
    this.#payloadUsed += count;
    if (this.#payloadUsed === frame.payload.length) {
      this.#frame = undefined;
      take(frame);
    }
    return rest.subarray(count);
  }
}
