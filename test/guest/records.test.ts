import { describe, expect, test } from "vitest";
import { UsageError, VmError } from "../../src/errors.js";
import { FieldWriter } from "../../src/guest/fields.js";
import { RecordDecoder } from "../../src/guest/records.js";
import { connected } from "./fake-link.js";
import { frame, result } from "./frame-builder.js";

const record = (content: Uint8Array): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(content.length);
  return Buffer.concat([length, content]);
};

describe("records", () => {
  test.each([1, 3, 5, 100])("are the same however they are cut (pieces of %i)", (size) => {
    const bytes = Buffer.concat([record(Buffer.from("one")), record(Buffer.alloc(0)), record(Buffer.from("three"))]);
    const found: string[] = [];
    const decoder = new RecordDecoder(16, (each) => found.push(each.toString()));
    for (let at = 0; at < bytes.length; at += size) decoder.push(bytes.subarray(at, at + size));
    expect(found).toEqual(["one", "", "three"]);
  });

  test("that are too long, or make no sense to who takes them, are a VmError that says so", () => {
    const decoder = new RecordDecoder(16, () => {
      throw new Error("a field 10 that is not 4 bytes");
    });
    expect(() => decoder.push(Buffer.from([17, 0, 0, 0]))).toThrow(
      new VmError("The guest broke the agent's protocol: a record of 17 bytes"),
    );
    expect(() => decoder.push(record(Buffer.alloc(2)))).toThrow(VmError);
    const own = new RecordDecoder(16, () => {
      throw new UsageError("too many");
    });
    expect(() => own.push(record(Buffer.alloc(2)))).toThrow(UsageError);
  });

  test("that a hostile guest sends as its processes are reported as what they are", async () => {
    const { agent, control } = await connected();
    const listing = agent.processes();
    control.say(frame(6, record(new FieldWriter().u32(1, 7).toBuffer()), { stream: 1 }), result(1, 3));
    await expect(listing).rejects.toThrow(/broke the agent's protocol: a field 10 that is not 4 bytes/);
    await expect(listing).rejects.toBeInstanceOf(VmError);
    agent.close();
  });
});
