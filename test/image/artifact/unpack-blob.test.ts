import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ImageError } from "../../../src/errors.js";
import type { ArtifactBlob } from "../../../src/image/artifact/format.js";
import { unpackBlob } from "../../../src/image/artifact/unpack-blob.js";
import type { SnapshotContent } from "../../../src/oci/index.js";
import type { ProgressEvent } from "../../../src/progress.js";
import { temporaryFolder } from "../../support/layer-fixture.js";
import { sha256Of } from "../../support/layout-builder.js";

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder.path, "unpacked");
});
afterEach(() => folder[Symbol.dispose]());

/** Something that gives these bytes for any blob, in pieces. */
function giving(bytes: Buffer, failure?: Error): SnapshotContent {
  const open = async () =>
    Readable.from(
      (async function* () {
        for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
        if (failure) throw failure;
      })(),
      { objectMode: false },
    );
  return { reference: "example", isRemote: true, open } as unknown as SnapshotContent;
}

function blobOf(packed: Buffer, content: Buffer, size = content.length): ArtifactBlob {
  return {
    descriptor: { mediaType: "x/y", digest: sha256Of(packed) as `sha256:${string}`, size: packed.length },
    content: { digest: sha256Of(content) as `sha256:${string}`, size },
  };
}

const mixed = Buffer.concat([
  Buffer.alloc(1 << 20),
  Buffer.from("in the middle"),
  Buffer.alloc(3 << 20),
  Buffer.from("z"),
]);

describe("a blob", () => {
  test.each([
    ["with much that is zero", mixed],
    ["of nothing but zeros", Buffer.alloc(1 << 20)],
    ["of one byte", Buffer.from("a")],
    ["of nothing", Buffer.alloc(0)],
  ])("%s is unpacked as it was", async (_what, content) => {
    const packed = gzipSync(content, { level: 1 });
    const events: ProgressEvent[] = [];
    await unpackBlob(giving(packed), blobOf(packed, content), path, { onProgress: (event) => events.push(event) });
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(events.at(-1)).toMatchObject({ done: packed.length, total: packed.length, finished: true });
  });

  test("has holes where it has zeros", async () => {
    const packed = gzipSync(mixed);
    await unpackBlob(giving(packed), blobOf(packed, mixed), path, {});
    expect(statSync(path).blocks * 512).toBeLessThan(64 * 1024);
  });
});

describe("a blob is refused", () => {
  const content = Buffer.alloc(300_000, "content");
  const packed = gzipSync(content, { level: 0 });
  const half = packed.subarray(0, packed.length >> 1);
  const other = Buffer.alloc(content.length, "other");
  const cases: [string, Buffer, ArtifactBlob, RegExp][] = [
    ["that is other than its digest says", gzipSync(other, { level: 0 }), blobOf(packed, content), /wrong content/],
    ["that breaks off", half, blobOf(packed, content), /bytes instead of/],
    ["that goes on", Buffer.concat([packed, packed]), blobOf(packed, content), /more than the/],
    ["that was packed only in part", half, blobOf(half, content), /cannot be unpacked/],
    ["that is not gzip", content, blobOf(content, content), /cannot be unpacked/],
    ["that unpacks to more", packed, blobOf(packed, content, content.length - 1), /more than the 299999 bytes/],
    ["that unpacks to less", packed, blobOf(packed, content, content.length + 1), /300000 bytes instead of 300001/],
    ["that unpacks to something else", packed, blobOf(packed, other), /other content/],
    [
      "that is a bomb",
      gzipSync(Buffer.alloc(50_000_000)),
      blobOf(gzipSync(Buffer.alloc(50_000_000)), content),
      /more than/,
    ],
  ];

  test.each(cases)("%s", async (_what, bytes, blob, message) => {
    const unpacking = unpackBlob(giving(bytes), blob, path, {});
    await expect(unpacking).rejects.toThrow(ImageError);
    await expect(unpacking).rejects.toThrow(message);
    if (readdirSync(folder.path).length > 0) expect(statSync(path).size).toBeLessThanOrEqual(blob.content.size);
  });

  test("when what it comes from fails, with that error", async () => {
    const failure = new Error("the network is gone");
    await expect(unpackBlob(giving(half, failure), blobOf(packed, content), path, {})).rejects.toBe(failure);
  });

  test("when it is given up, and nothing is thrown elsewhere", async () => {
    const stopped = new Error("no longer wanted");
    const open = async () => {
      const stream = new Readable({ read: () => undefined });
      setImmediate(() => stream.destroy(stopped));
      return stream;
    };
    const source = { reference: "example", isRemote: false, open } as unknown as SnapshotContent;
    await expect(unpackBlob(source, blobOf(packed, content), path, {})).rejects.toBe(stopped);
  });
});
