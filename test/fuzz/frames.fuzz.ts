import { expect, test } from "vitest";
import { frame, sessionOk } from "../guest/frame-builder.js";
import { Coverage } from "./support/coverage.js";
import { fuzz, SECONDS } from "./support/fuzz.js";

const nonce = Buffer.alloc(16, 7);
const [DATA, END, RESULT] = [6, 7, 10];
const text = Buffer.from("\x05\0\0\0\x01\0\x01\0\0\0a");

test(`the host cuts frames out of what a guest sends, for ${SECONDS} s`, async () => {
  using coverage = new Coverage(/\/src\/guest\/(frames|fields|records|failure|file-info)\.ts/);
  const { FrameDecoder } = await import("../../src/guest/frames.js");
  const { Fields } = await import("../../src/guest/fields.js");
  const { RecordDecoder } = await import("../../src/guest/records.js");
  const { decodeFailure } = await import("../../src/guest/failure.js");

  /** All frames, with the error that ended them; in pieces of the given lengths, which repeat. */
  const decode = (bytes: Buffer, pieces: readonly number[]): string => {
    const decoder = new FrameDecoder(nonce);
    const seen: string[] = [];
    try {
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const chunk = bytes.subarray(at, at + (pieces[turn % pieces.length] ?? bytes.length));
        at += chunk.length;
        decoder.push(chunk, ({ type, channel, flags, stream, payload }) => {
          seen.push(`${type} ${channel} ${flags} ${stream} ${payload.toString("latin1")}`);
        });
      }
    } catch (error) {
      seen.push(plain(error));
    }
    return seen.join();
  };

  const run = (input: Buffer): void => {
    const bytes = Buffer.concat([sessionOk(nonce), input]);
    const whole = decode(bytes, []);
    // However they are cut, and with noise before them, they are the same.
    expect(decode(bytes, [1 + (input[0] ?? 0), 1 + (input[1] ?? 0), 5000])).toBe(whole);
    if (!input.includes(nonce)) expect(decode(Buffer.concat([input, bytes]), [113])).toBe(whole);
    payload(() => new Fields(input, [1, 2, 3, 4]).text(1));
    payload(() => new Fields(input, [1, 2, 3, 4]).u32(2));
    payload(() => new Fields(input, [1, 2, 3, 4]).u64(3));
    payload(() => decodeFailure(input));
    payload(() => new RecordDecoder(64, (record) => expect(record.length).toBeLessThanOrEqual(64)).push(input));
  };
  const seeds = [
    frame(DATA, Buffer.from("some text"), { stream: 1 }),
    Buffer.concat([frame(DATA, text, { stream: 3, channel: 1 }), frame(END, Buffer.alloc(0), { stream: 3, flags: 2 })]),
    frame(RESULT, Buffer.from("0400010004000000020000000200010000006e", "hex"), { stream: 1 }),
    Buffer.from("010001000000610200040000000102030403000800000001020304050607080480020000000102", "hex"),
    Buffer.concat([text, text, Buffer.from([255, 255, 255, 255])]),
  ];
  await fuzz({ name: "frames", seeds, run }, coverage);
});

/** What comes of a payload that makes no sense is a plain error, which the link makes a VmError, or one already. */
function payload(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    plain(error);
  }
}

function plain(error: unknown): string {
  if (error instanceof Error && ["Error", "VmError"].includes(error.constructor.name)) return error.message;
  throw new Error("not an error of the parser's own", { cause: error });
}
