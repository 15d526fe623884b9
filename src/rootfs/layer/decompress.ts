import { once } from "node:events";
import type { Duplex } from "node:stream";
import * as zlib from "node:zlib";
import { ImageError } from "../../errors.js";
import { type Compression, detectCompression, MAGIC_SIZE } from "./compression.js";
import { decodeZstd, splitZstd } from "./zstd.js";

/** Fewer, larger pieces: a promise and a call per piece are what inflating costs beside inflating. */
const OUTPUT_CHUNK = 256 * 1024;

/** Node has zstd of its own from 22.15 on. */
type MakeZstd = (options: { chunkSize: number }) => Duplex;
const createZstdDecompress = (zlib as { createZstdDecompress?: MakeZstd }).createZstdDecompress;

/** Unpacks a layer's archive, however it is packed. */
export async function* decompress(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const start = await readStart(source);
  const whole = resume(start, source);
  const compression = detectCompression(start);
  if (compression === "none") yield* whole;
  else if (compression === "gzip") yield* through(whole, zlib.createGunzip({ chunkSize: OUTPUT_CHUNK }), compression);
  else if (!createZstdDecompress) yield* decodeZstd(whole);
  // Whole frames or parts of one at a time: given more, Node's stream stops at the end of a frame.
  else yield* through(splitZstd(whole), createZstdDecompress({ chunkSize: OUTPUT_CHUNK }), compression);
}

async function readStart(source: AsyncGenerator<Buffer>): Promise<Buffer> {
  let start: Buffer = Buffer.alloc(0);
  while (start.length < MAGIC_SIZE) {
    const next = await source.next();
    if (next.done) break;
    start = start.length === 0 ? next.value : Buffer.concat([start, next.value]);
  }
  return start;
}

async function* resume(start: Buffer, source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  if (start.length > 0) yield start;
  yield* source;
}

/**
 * Runs bytes through one of zlib's streams. What follows the packed data (gzip ignores what is no further member, as
 * `gzip -d` does) is still read to its end, because the digest covers it.
 */
async function* through(source: AsyncGenerator<Buffer>, codec: Duplex, kind: Compression): AsyncGenerator<Buffer> {
  let sourceFailure: { error: unknown } | undefined;
  const closed = new Promise<void>((resolve) => {
    for (const event of ["end", "close", "error"]) codec.once(event, () => resolve());
  });
  const feed = async () => {
    try {
      for await (const chunk of source) {
        if (codec.destroyed && !codec.readableEnded) return;
        if (codec.readableEnded || codec.write(chunk)) continue;
        await Promise.race([once(codec, "drain").catch(() => undefined), closed]);
      }
      codec.end();
    } catch (error) {
      sourceFailure = { error };
      codec.destroy(error as Error);
    }
  };
  const fed = feed();
  try {
    for await (const chunk of codec) yield chunk as Buffer;
    await fed;
  } catch (error) {
    if (sourceFailure) throw sourceFailure.error;
    throw new ImageError(`The layer's ${kind} data is damaged or truncated: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    codec.destroy();
    await fed;
  }
  if (sourceFailure) throw (sourceFailure as { error: unknown }).error;
}
