import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { ImageError } from "../../errors.js";
import { writeFully } from "../../memory/index.js";
import { type SnapshotContent, verified } from "../../oci/index.js";
import type { LayerState, LongWork, ProgressEvent } from "../../progress.js";
import type { ArtifactBlob } from "./format.js";

const CHUNK_BYTES = 256 * 1024;
/** Zeros are looked for in pieces of this size, a page of the guest's. */
const PIECE_BYTES = 4096;
const ZEROS = Buffer.alloc(PIECE_BYTES);

/**
 * Fetches a snapshot's blob and unpacks it into a new file, with holes where it has zeros. It is streamed; no more is written
 * than it says that it unpacks to, and both its digests are compared.
 * @throws ImageError when it is not what its descriptor says
 */
export async function unpackBlob(
  content: SnapshotContent,
  blob: ArtifactBlob,
  path: string,
  work: LongWork,
): Promise<void> {
  const { descriptor } = blob;
  const what = `blob ${descriptor.digest} of ${content.reference}`;
  const step = { phase: "layer" as const, item: descriptor.digest, total: descriptor.size };
  const state: LayerState = content.isRemote ? "fetching" : "reading";
  let done = 0;
  const report = (event: Partial<ProgressEvent> = {}) => work.onProgress?.({ ...step, state, done, ...event });
  report();
  await using file = await open(path, "wx", 0o600);
  const stream = await content.open(descriptor, work.signal, (retry) => report({ retry }));
  const packed = reported(verified(stream, descriptor, what), (bytes) => {
    done = bytes;
    report();
  });
  await writeUnpacked(file, packed, blob, what);
  report({ state: "converting", finished: true });
}

async function writeUnpacked(
  file: FileHandle,
  packed: AsyncGenerator<Buffer>,
  { content }: ArtifactBlob,
  what: string,
): Promise<void> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const source = Readable.from(packed, { objectMode: false });
  source.once("error", (error) => gunzip.destroy(error));
  source.pipe(gunzip);
  const hash = createHash(content.digest.startsWith("sha512") ? "sha512" : "sha256");
  let size = 0;
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      if (size + chunk.length > content.size)
        throw wrong(what, `unpacks to more than the ${content.size} bytes it names`);
      hash.update(chunk);
      await writeSparse(file, chunk, size);
      size += chunk.length;
    }
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code);
    throw /^Z_/.test(code) ? wrong(what, `cannot be unpacked: ${(error as Error).message}`, error) : error;
  } finally {
    source.destroy();
  }
  if (size < content.size) throw wrong(what, `unpacks to ${size} bytes instead of ${content.size}`);
  const actual = hash.digest("hex");
  if (!content.digest.endsWith(`:${actual}`)) throw wrong(what, `unpacks to other content, of the digest ${actual}`);
  await file.truncate(size);
}

/** Leaves out pieces of zeros: template RAM is mostly empty. */
async function writeSparse(file: FileHandle, chunk: Buffer, position: number): Promise<void> {
  let start = 0;
  for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
    const end = Math.min(at + PIECE_BYTES, chunk.length);
    if (chunk.compare(ZEROS, 0, end - at, at, end) !== 0) continue;
    if (start < at) await writeFully(file, chunk.subarray(start, at), position + start);
    start = end;
  }
  if (start < chunk.length) await writeFully(file, chunk.subarray(start), position + start);
}

async function* reported(chunks: AsyncGenerator<Buffer>, report: (done: number) => void): AsyncGenerator<Buffer> {
  let done = 0;
  for await (const chunk of chunks) {
    done += chunk.length;
    report(done);
    yield chunk;
  }
}

function wrong(what: string, how: string, cause?: unknown): ImageError {
  return new ImageError(`${what} ${how}`, {
    cause,
    hint: "The snapshot is damaged or was tampered with; push it again.",
  });
}
