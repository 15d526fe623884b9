import { rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { ImageError } from "../../errors.js";
import { ErofsWriter } from "../erofs/index.js";
import { Malformed } from "../malformed.js";
import { TarReader } from "../tar/index.js";
import { type LayerSource, readBlob } from "./blob-source.js";
import { LayerBuilder } from "./builder.js";
import { checkLayerMediaType } from "./compression.js";
import { decompress } from "./decompress.js";
import { DigestCheck } from "./digest.js";
import { tooLarge, unpackLimit } from "./unpack-limit.js";

/** Is the volume name of an image made from a layer without entries. */
export const EMPTY_LAYER = "empty";
/** The parser works without pause on a piece of this size; then the disk may catch up. */
export const PIECE = 1024 * 1024;

/** Options of {@link convertLayer}. */
export interface ConvertOptions {
  /** Digest of the bytes that the source gives. */
  blobDigest: string;
  /** How many bytes the source gives, if that is known. */
  blobSize?: number | undefined;
  /** Digest of the uncompressed archive. */
  diffId: string;
  /** Of the layer's descriptor. How the archive is packed shows in its content; this is only checked to be a layer's. */
  mediaType?: string | undefined;
  /** Where the image goes. After a failure nothing is there. */
  output: string;
  signal?: AbortSignal | undefined;
  /** Is told how many bytes of the source have been read. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/** A layer as {@link convertLayer} stored it. */
export interface ConvertedLayer {
  /** Bytes of the image; it may take fewer on disk. */
  size: number;
  /** Entries of the archive. */
  entries: number;
  /** Without any entry a layer changes nothing, and may be left out of a stack. */
  empty: boolean;
}

/**
 * Writes a layer's archive (tar; plain, gzip or zstd) as an EROFS image that overlayfs can stack, in one pass and in
 * constant memory. Both digests are verified on the way.
 *
 * @throws ImageError when a digest or the size is wrong, or the archive is damaged, truncated or not a layer's.
 */
export async function convertLayer(source: LayerSource, options: ConvertOptions): Promise<ConvertedLayer> {
  // A failure before the first byte is asked for would otherwise end the process; reading finds it all the same.
  if (source instanceof Readable) source.on("error", () => undefined);
  try {
    options.signal?.throwIfAborted();
    if (options.mediaType !== undefined) checkLayerMediaType(options.mediaType);
    const blob = new DigestCheck(options.blobDigest);
    // An archive that is not packed is its own blob: then one digest says it all.
    const archive = options.blobDigest === options.diffId ? undefined : new DigestCheck(options.diffId);
    return await writeImage(source, options, blob, archive);
  } catch (error) {
    if (source instanceof Readable) source.destroy();
    if (!(error instanceof Malformed)) throw error;
    throw new ImageError(`The layer cannot be used: ${error.message}`, { cause: error });
  }
}

async function writeImage(
  source: LayerSource,
  options: ConvertOptions,
  blob: DigestCheck,
  archive: DigestCheck | undefined,
): Promise<ConvertedLayer> {
  const writer = await ErofsWriter.create(options.output);
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  try {
    const bytes = decompress(readBlob(source, { ...options, signal, size: options.blobSize, digest: blob }));
    const builder = new LayerBuilder(writer);
    await readArchive(bounded(bytes, options.blobSize), builder, writer, archive);
    archive?.verify("layer's unpacked archive");
    const empty = builder.entries === 0;
    const size = await builder.finish((archive ?? blob).value().subarray(0, 16), empty ? EMPTY_LAYER : "");
    return { size, entries: builder.entries, empty };
  } catch (error) {
    // Whatever still waits for the source lets go of it.
    stop.abort();
    await writer.abandon();
    await rm(options.output, { force: true });
    throw error;
  }
}

/** A small blob may unpack to any amount: to more than is plausible it is not unpacked. */
async function* bounded(bytes: AsyncGenerator<Buffer>, blobSize: number | undefined): AsyncGenerator<Buffer> {
  const limit = unpackLimit(blobSize);
  let count = 0;
  for await (const chunk of bytes) {
    count += chunk.length;
    if (count > limit) throw tooLarge(limit, blobSize);
    yield chunk;
  }
}

async function readArchive(
  bytes: AsyncGenerator<Buffer>,
  builder: LayerBuilder,
  writer: ErofsWriter,
  digest: DigestCheck | undefined,
): Promise<void> {
  const reader = new TarReader(builder);
  for await (const chunk of bytes) {
    digest?.update(chunk);
    for (let at = 0; at < chunk.length; at += PIECE) {
      reader.write(chunk.length <= PIECE ? chunk : chunk.subarray(at, at + PIECE));
      await writer.drain();
    }
  }
  reader.end();
}
