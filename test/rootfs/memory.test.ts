import { createHash } from "node:crypto";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { convertLayer } from "../../src/rootfs/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";

const MIB = 1024 * 1024;
const FILES = 150;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** An archive of 150 files of 1 MiB, made as it is read. */
function* archive(): Generator<Buffer> {
  for (let i = 0; i < FILES; i++) yield new TarBuilder().file(`file-${i}`, Buffer.alloc(MIB, `${i} `)).unfinished();
  yield Buffer.alloc(1024);
}

function* map(source: Iterable<Buffer>, change: (bytes: Buffer) => Buffer): Generator<Buffer> {
  for (const bytes of source) yield change(bytes);
}

function digestOf(source: Iterable<Buffer>): string {
  const hash = createHash("sha256");
  for (const bytes of source) hash.update(bytes);
  return `sha256:${hash.digest("hex")}`;
}

describe("memory", () => {
  it.each([
    ["a plain archive", (bytes: Buffer) => bytes],
    // Members of their own, so that each can be made when it is needed.
    ["gzip data", (bytes: Buffer) => gzipSync(bytes, { level: 1 })],
  ])(
    "does not grow with the content of %s",
    async (_, pack) => {
      using folder = temporaryFolder();
      const inUse: number[] = [];
      async function* source() {
        for (const bytes of map(archive(), pack)) {
          collectGarbage();
          const { heapUsed, external } = process.memoryUsage();
          inUse.push(heapUsed + external);
          yield bytes;
        }
      }
      const options = { blobDigest: digestOf(map(archive(), pack)), diffId: digestOf(archive()) };
      await convertLayer(source(), { ...options, output: join(folder.path, "image") });
      const [early, late] = [inUse[30] ?? 0, Math.max(...inUse.slice(-50))];
      expect((late - early) / MIB).toBeLessThan(30);
    },
    60_000,
  );
});
