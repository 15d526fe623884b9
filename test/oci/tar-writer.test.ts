import { mkdirSync, readFileSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHeader } from "../../src/oci/tar-header.js";
import { TarWriter } from "../../src/oci/tar-writer.js";
import { temporaryFolder } from "../support/layer-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder.path, "archive.tar");
});
afterEach(() => folder[Symbol.dispose]());

async function write(use: (tar: TarWriter) => Promise<void>): Promise<void> {
  await using file = await open(path, "wx");
  const tar = new TarWriter(file);
  await use(tar);
  await tar.end();
}

async function* chunks(...parts: string[]): AsyncGenerator<Buffer> {
  for (const part of parts) yield Buffer.from(part);
}

describe("a tar file that is written", () => {
  it("is what GNU tar reads, whatever the lengths", async () => {
    const contents = [0, 1, 511, 512, 513, 100_000].map((length) => "x".repeat(length));
    await write(async (tar) => {
      for (const content of contents) await tar.addBytes(`files/of-${content.length}`, Buffer.from(content));
    });
    mkdirSync(join(folder.path, "out"));
    await execa("tar", ["-xf", path, "-C", join(folder.path, "out")]);
    for (const content of contents) {
      expect(readFileSync(join(folder.path, "out/files", `of-${content.length}`), "utf8")).toBe(content);
    }
    expect(statSync(path).size % 512).toBe(0);
  });

  it("has names that are known last, and leaves out what has none", async () => {
    await write(async (tar) => {
      let seen = "";
      const watched = async function* () {
        for await (const chunk of chunks("one", "two")) {
          seen += chunk;
          yield chunk;
        }
      };
      await tar.add(watched(), () => seen);
      await tar.add(chunks("a longer thing that is not wanted"), () => undefined);
      await tar.add(chunks("z"), () => "last");
    });
    const { stdout } = await execa("tar", ["-tvf", path]);
    expect(stdout.split("\n").map((line) => line.split(/\s+/).at(-1))).toEqual(["onetwo", "last"]);
  });

  it("takes names of more than a hundred bytes as far as the format can", async () => {
    const long = `blobs/sha512/${"a".repeat(99)}`;
    await write((tar) => tar.addBytes(long, Buffer.from("content")));
    expect((await execa("tar", ["-tf", path])).stdout).toBe(long);
    const file = await open(join(folder.path, "other"), "w");
    await expect(new TarWriter(file).addBytes("b".repeat(101), Buffer.alloc(1))).rejects.toThrow(RangeError);
    await file.close();
  });

  it("takes files of more than 8 GiB", async () => {
    const size = 9 * 1024 ** 3 + 5;
    // The content is a hole: only what is written of it matters.
    const hole = Object.assign(Buffer.alloc(0), {});
    Object.defineProperty(hole, "length", { value: size });
    const written: { bytes: Uint8Array; position: number }[] = [];
    const file = {
      write: async (bytes: Uint8Array, done: number, length: number, position: number) => {
        if (length <= 1024) written.push({ bytes: Buffer.from(bytes.subarray(done, done + length)), position });
        return { bytesWritten: length };
      },
      truncate: async () => undefined,
    };
    await new TarWriter(file as never).addBytes("large", hole);
    const [header] = written;
    expect(parseHeader(Buffer.from(header?.bytes ?? []))).toMatchObject({ name: "large", size });
  });
});
