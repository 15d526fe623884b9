import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { afterEach, expect, test, vi } from "vitest";
import { openArchive } from "../../../src/build/copy/index.js";
import { TarBuilder } from "../../support/tar-builder.js";

afterEach(() => vi.unstubAllEnvs());

const packed = (program: string, input: Buffer, ...args: string[]) =>
  execFileSync(program, ["-c", ...args], { input, maxBuffer: 1 << 28 });

/** What is read of a file that may be an archive, in pieces of a size. */
async function read(bytes: Buffer, piece = 65_536): Promise<Buffer | undefined> {
  async function* open() {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  }
  const archive = await openArchive({ name: "x", size: bytes.length, open });
  if (!archive) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const tar = new TarBuilder()
  .file("random", randomBytes(1_200_000))
  .file("zeros", Buffer.alloc(1_500_000))
  .file("words", "one two three four ".repeat(20_000))
  .finish();

test.each<[string, () => Buffer]>([
  ["nothing", () => tar],
  ["gzip", () => gzipSync(tar)],
  ["xz", () => packed("xz", tar)],
  ["xz in several blocks, with another check", () => packed("xz", tar, "--block-size=100000", "-C", "crc32")],
  ["xz in two streams", () => Buffer.concat([packed("xz", tar.subarray(0, 700)), packed("xz", tar.subarray(700))])],
  ["bzip2", () => packed("bzip2", tar)],
  ["bzip2 in small blocks", () => packed("bzip2", tar, "-1")],
  [
    "bzip2 in two streams",
    () => Buffer.concat([packed("bzip2", tar.subarray(0, 700)), packed("bzip2", tar.subarray(700))]),
  ],
])("an archive packed with %s is read", async (_, pack) => {
  expect((await read(pack()))?.equals(tar)).toBe(true);
});

test("the content counts: what is no archive is none, however it is packed or damaged", async () => {
  const text = Buffer.from("text ".repeat(1000));
  for (const bytes of [
    text,
    packed("xz", text),
    packed("bzip2", text),
    packed("bzip2", Buffer.alloc(0)),
    Buffer.from("BZh9"),
  ]) {
    expect(await read(bytes)).toBeUndefined();
  }
  expect((await read(packed("bzip2", tar), 7))?.length).toBe(tar.length);
});

test("damaged data is an error", async () => {
  for (const program of ["xz", "bzip2"]) {
    const whole = packed(program, tar);
    await expect(read(whole.subarray(0, -30)), program).rejects.toThrow(`The archive's ${program} data is damaged`);
    const changed = Buffer.from(whole);
    changed.writeUInt8(changed.readUInt8(whole.length - 200) ^ 1, whole.length - 200);
    await expect(read(changed), program).rejects.toThrow(`The archive's ${program} data is damaged`);
  }
});

test("any bytes behind bzip2's first ones end in an error or in nothing", async () => {
  const whole = packed("bzip2", tar.subarray(0, 50_000));
  for (let i = 0; i < 200; i++) {
    const bytes = Buffer.from(whole);
    for (let n = 0; n < 3; n++)
      bytes.writeUInt8(
        Math.floor(Math.random() * 256),
        4 + Math.floor(Math.random() * (i < 100 ? 60 : bytes.length - 4)),
      );
    const result = await read(bytes).catch((error: Error) => error.message);
    if (typeof result === "string") expect(result).toContain("bzip2 data is damaged");
  }
});

test("what unpacks to more than anything that is meant well is refused", async () => {
  vi.stubEnv("SUPERMACHINE_MAX_LAYER_MIB", "2");
  for (const program of ["gzip", "xz", "bzip2"]) {
    await expect(read(packed(program, tar)), program).rejects.toThrow("x unpacks to more than 2 MiB");
  }
});
