import { rm } from "node:fs/promises";
import { ImageError } from "../../errors.js";
import { ErofsWriter } from "../erofs/index.js";
import { Malformed } from "../malformed.js";
import { TarReader } from "../tar/index.js";
import { LayerBuilder } from "./builder.js";
import { decompress } from "./decompress.js";

/** The parser works without pause on a piece of this size; then the disk may catch up. */
const PIECE = 1024 * 1024;

/**
 * Writes a tar archive (plain, gzip or zstd) as an EROFS image, for copying out of it: names that would mean something in an image's layer mean
 * nothing here. @throws ImageError when the archive is malformed
 */
export async function writeArchiveImage(
  source: AsyncIterable<Uint8Array>,
  output: string,
  signal?: AbortSignal,
): Promise<void> {
  const writer = await ErofsWriter.create(output, { checksum: false });
  try {
    const builder = new LayerBuilder(writer, { whiteouts: false });
    const reader = new TarReader(builder);
    for await (const chunk of decompress(asBuffers(source))) {
      for (let at = 0; at < chunk.length; at += PIECE) {
        signal?.throwIfAborted();
        reader.write(chunk.subarray(at, at + PIECE));
        await writer.drain();
      }
    }
    reader.end();
    await builder.finish(Buffer.alloc(16), "");
  } catch (error) {
    await writer.abandon();
    await rm(output, { force: true });
    if (!(error instanceof Malformed)) throw error;
    throw new ImageError(`The archive cannot be used: ${error.message}`, { cause: error });
  }
}

async function* asBuffers(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const bytes of source) yield Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
