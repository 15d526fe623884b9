import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { type Frame, FrameType, readFrames, writeFrame } from "../../src/daemon/frames.js";

async function read(bytes: Buffer, chunk: number): Promise<Frame[]> {
  const stream = new PassThrough();
  for (let at = 0; at < bytes.length; at += chunk) stream.write(bytes.subarray(at, at + chunk));
  stream.end();
  const frames: Frame[] = [];
  for await (const frame of readFrames(stream)) frames.push({ ...frame, payload: Buffer.from(frame.payload) });
  return frames;
}

function written(...frames: Frame[]): Buffer {
  const stream = new PassThrough();
  for (const { type, payload } of frames) writeFrame(stream, type, payload);
  return stream.read() as Buffer;
}

const some: Frame[] = [
  { type: FrameType.control, payload: Buffer.from("{}") },
  { type: FrameType.stdout, payload: Buffer.alloc(0) },
  { type: FrameType.stderr, payload: Buffer.from("x".repeat(70_000)) },
];

test.each([1, 4, 5, 7, 100_000])("frames come out as they went in, in pieces of %i bytes", async (chunk) => {
  expect(await read(written(...some), chunk)).toEqual(some);
});

test("a connection that ends within a frame is an error", async () => {
  await expect(read(written(...some).subarray(0, -1), 1_000)).rejects.toThrow("within a frame");
});

test.each([
  ["an unknown type", Buffer.from([9, 0, 0, 0, 0])],
  ["a length beyond the limit", Buffer.from([1, 0xff, 0xff, 0xff, 0xff])],
])("%s is refused before anything is kept of it", async (_, bytes) => {
  await expect(read(bytes, 5)).rejects.toThrow("malformed frame");
});
