import { detectCompression, MAGIC_SIZE } from "./compression.js";
import { gunzip } from "./gzip.js";
import { unpackZstd } from "./zstd.js";

/** Unpacks a layer's archive, however it is packed. */
export async function* decompress(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    const start = await readStart(source);
    const whole = resume(start, source);
    const compression = detectCompression(start);
    if (compression === "gzip") yield* gunzip(whole);
    else if (compression === "zstd") yield* unpackZstd(whole);
    else yield* whole;
  } finally {
    // Not awaited: while the source waits for bytes, it cannot hear of this.
    source.return(undefined).catch(() => undefined);
  }
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
