import { setImmediate as turn } from "node:timers/promises";
import { test } from "vitest";
import { frame, result } from "../guest/frame-builder.js";
import { Coverage } from "./support/coverage.js";
import { fuzz, SECONDS } from "./support/fuzz.js";

/** A frame of the guest in an input: which link, type, stream, channel, flags, and the payload's length. */
const HEADER_BYTES = 7;
const ENDS = Buffer.alloc(36, 1);

test(`the host goes through sessions with a guest that may say anything, for ${SECONDS} s`, async () => {
  using coverage = new Coverage(/\/src\/guest\//);
  const { connected } = await import("../guest/fake-link.js");
  const { SupermachineError } = await import("../../src/errors.js");

  const run = async (input: Buffer): Promise<void> => {
    const { agent, control, bulk } = await connected();
    const network = { connection: () => {}, datagram: () => {} };
    agent.network.open(network);
    const outcomes = Promise.allSettled([
      agent.exec({ argv: ["x"], stdin: "pipe" }).then((process) => process.wait()),
      agent.attach(7).then((process) => process.wait()),
      agent.processes(),
      agent.files.read("/x"),
      agent.files.write("/y", "content"),
      listed(agent.files.list("/", { recursive: true })),
      agent.network.connect({ address: "127.0.0.1", port: 80 }),
      agent.awaitListener(80, { timeoutMs: 1_000 }),
    ]);
    for (let at = 0; at + HEADER_BYTES <= input.length; ) {
      const length = input.readUInt16LE(at + 5) % 512;
      const payload = input.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
      const [link = 0, type = 0, stream = 0, channel = 0, flags = 0] = input.subarray(at, at + HEADER_BYTES);
      (link % 2 ? bulk : control).say(
        frame(type % 16, payload, { stream: stream % 16, channel: channel % 4, flags: flags % 4 }),
      );
      at += HEADER_BYTES + length;
      if (link & 128) await turn();
    }
    await turn();
    agent.close();
    for (const outcome of await outcomes) {
      if (outcome.status === "rejected" && !(outcome.reason instanceof SupermachineError))
        throw new Error("an error that is not ours", { cause: outcome.reason });
    }
    // What was said after the end of a session is nobody's.
    control.say(frame(6, Buffer.alloc(9), { stream: 1 }));
    await turn();
  };
  await fuzz({ name: "session", seeds: seeds(), run }, coverage);
});

async function listed(entries: AsyncIterable<unknown>): Promise<void> {
  for await (const entry of entries) void entry;
}

function seeds(): Buffer[] {
  const [started, exited, done, failed] = [1, 2, 3, 4];
  const [control, bulk] = [128, 129];
  const say = (
    link: number,
    type: number,
    stream: number,
    payload: Uint8Array = Buffer.alloc(0),
    channel = 0,
  ): Buffer => {
    const header = Buffer.from([link, type, stream, channel, 0, 0, 0]);
    header.writeUInt16LE(payload.length, 5);
    return Buffer.concat([header, payload]);
  };
  const of = (kind: number, add?: Parameters<typeof result>[2]): Uint8Array => result(1, kind, add).subarray(12);
  const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
  const [END, CREDIT, DATA, RESULT, CLOSE, FAULT] = [7, 8, 6, 10, 11, 12];
  return [
    Buffer.concat([
      say(
        control,
        RESULT,
        1,
        of(started, (f) => f.u32(1, 42)),
      ),
      say(control, DATA, 1, Buffer.from("output")),
      say(control, DATA, 1, Buffer.from("error"), 1),
      say(control, CREDIT, 1, u32(1000)),
      say(
        control,
        RESULT,
        1,
        of(exited, (f) => f.u32(1, 0)),
      ),
      say(control, END, 1),
      say(control, END, 1, undefined, 1),
    ]),
    Buffer.concat([
      say(bulk, DATA, 1, Buffer.concat([Buffer.from([1, 0, 0, 0]), ENDS, Buffer.from("syn")])),
      say(bulk, DATA, 1, Buffer.concat([Buffer.from([2, 0, 0, 0]), ENDS, Buffer.from("datagram")])),
      say(
        bulk,
        RESULT,
        1,
        of(failed, (f) => f.u32(1, 6)),
      ),
    ]),
    ...[3, 5, 7, 9, 11].map((stream) =>
      Buffer.concat([
        say(bulk, RESULT, stream, of(started)),
        say(bulk, DATA, stream, Buffer.from([14, 0, 0, 0, 1, 0, 1, 0, 0, 0, 65, 2, 0, 1, 0, 0, 0, 66])),
        say(bulk, END, stream),
        say(
          bulk,
          RESULT,
          stream,
          of(done, (f) => f.u64(1, 5n).u32(2, 0o100644).u64(3, 0n).u32(4, 0).u32(5, 0)),
        ),
      ]),
    ),
    ...[3, 5, 7, 9].map((stream) =>
      say(
        control,
        RESULT,
        stream,
        of(failed, (f) => f.u32(1, 2).string(2, "no")),
      ),
    ),
    Buffer.concat([
      say(control, DATA, 5, Buffer.alloc(8)),
      say(control, CLOSE, 1),
      say(bulk, FAULT, 0, Buffer.from("why")),
    ]),
  ];
}
