import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { ImageError } from "../../errors.js";
import { ErofsWriter } from "../erofs/index.js";
import { Malformed } from "../malformed.js";
import { TarReader } from "../tar/index.js";
import { LayerBuilder } from "./builder.js";
import { EMPTY_LAYER, PIECE } from "./convert.js";

/** A layer that was just written. */
export interface WrittenLayer {
  /** Entries of the archive. */
  entries: number;
}

/**
 * Writes an archive that nobody has a digest of yet as an EROFS image; after a failure nothing is at `output`.
 * @throws ImageError when the archive is not a layer's
 */
export async function writeLayer(
  archive: AsyncIterable<Uint8Array>,
  output: string,
  signal?: AbortSignal,
): Promise<WrittenLayer> {
  const writer = await ErofsWriter.create(output);
  try {
    const builder = new LayerBuilder(writer);
    const reader = new TarReader(builder);
    const hash = createHash("sha256");
    for await (const bytes of archive) {
      signal?.throwIfAborted();
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      hash.update(chunk);
      for (let at = 0; at < chunk.length; at += PIECE) {
        reader.write(chunk.subarray(at, at + PIECE));
        await writer.drain();
      }
    }
    reader.end();
    const { entries } = builder;
    await builder.finish(hash.digest().subarray(0, 16), entries === 0 ? EMPTY_LAYER : "");
    return { entries };
  } catch (error) {
    await writer.abandon();
    await rm(output, { force: true });
    if (!(error instanceof Malformed)) throw error;
    throw new ImageError(`The layer cannot be used: ${error.message}`, { cause: error });
  }
}
