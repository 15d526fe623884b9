import { Readable } from "node:stream";
import { ImageError } from "../../errors.js";
import type { DigestCheck } from "./digest.js";

/** Where a layer's bytes come from. */
export type LayerSource = Readable | AsyncIterable<Uint8Array>;

export interface BlobOptions {
  /** Takes every byte; compared when the last has come. */
  digest: DigestCheck;
  /** How many bytes there must be. */
  size?: number | undefined;
  /** Ends a wait for the source. */
  signal?: AbortSignal | undefined;
  /** Is told how many bytes have come in all. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/** Passes the blob's bytes on, and fails at their end, before the consumer can act on it, if they are not the right ones. */
export async function* readBlob(source: LayerSource, options: BlobOptions): AsyncGenerator<Buffer> {
  let count = 0;
  for await (const bytes of abortable(source, options.signal)) {
    const chunk = asBuffer(bytes);
    count += chunk.length;
    if (options.size !== undefined && count > options.size) {
      throw new ImageError(`The layer has more than the ${options.size} bytes that its descriptor says`);
    }
    options.digest.update(chunk);
    options.onProgress?.(count);
    yield chunk;
  }
  if (options.size !== undefined && count < options.size) {
    throw new ImageError(`The layer is truncated: it has ${count} of ${options.size} bytes`);
  }
  options.digest.verify("layer's blob");
}

async function* abortable(source: LayerSource, signal: AbortSignal | undefined): AsyncGenerator<unknown> {
  const iterator = source[Symbol.asyncIterator]();
  // Not Promise.race: whatever races a promise that stays pending is kept in memory, with all that it gave.
  let interrupt: (reason: unknown) => void = () => undefined;
  const onAbort = () => interrupt(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      signal?.throwIfAborted();
      const next = await new Promise<IteratorResult<unknown>>((resolve, reject) => {
        interrupt = reject;
        iterator.next().then(resolve, reject);
      });
      if (next.done) return;
      yield next.value;
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    if (source instanceof Readable) source.destroy();
    // Not awaited: an iterator that hangs in next() would hang here too.
    else Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

function asBuffer(bytes: unknown): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes;
  if (bytes instanceof Uint8Array) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  throw new TypeError("A layer's source must give bytes, not text or objects");
}
