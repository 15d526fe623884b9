import * as zlib from "node:zlib";
import { Decompress } from "fzstd";
import { ImageError } from "../../errors.js";
import { ByteReader } from "./byte-reader.js";
import { type Codec, OUTPUT_CHUNK, runCodec } from "./codec.js";

/** Node has zstd of its own from 22.15 on. */
type MakeZstd = (options: { chunkSize: number }) => Codec;
const createZstdDecompress = (zlib as { createZstdDecompress?: MakeZstd }).createZstdDecompress;

// The format: RFC 8878, section 3.
const FRAME_MAGIC = 0xfd2f_b528;
const SKIPPABLE_MAGIC = 0x184d_2a50;
const MAX_BLOCK = 128 * 1024;
/** Memory that a layer may ask of its reader; the same as `zstd` accepts unless told otherwise. */
const MAX_WINDOW = 128 * 1024 * 1024;

/** Bytes of one frame: its header, one block, or its checksum. */
interface FramePiece {
  bytes: Buffer;
  endsFrame: boolean;
}

/**
 * Cuts zstd data at its frames and blocks without decoding it, so that memory is bounded before it is asked for, a block can
 * give no more than 128 KiB, frames of other data (skippable ones) fall away, and truncation shows.
 */
async function* framePieces(source: AsyncGenerator<Buffer>): AsyncGenerator<FramePiece> {
  const input = new ByteReader(source, "layer's zstd data");
  while (!(await input.atEnd())) {
    const magic = await input.read(4);
    const number = magic.readUInt32LE(0);
    if ((number & 0xffff_fff0) >>> 0 === SKIPPABLE_MAGIC) {
      await input.skip((await input.read(4)).readUInt32LE(0));
    } else if (number === FRAME_MAGIC) {
      yield* frame(magic, input);
    } else {
      throw damaged("a frame begins with the wrong bytes");
    }
  }
}

async function* frame(magic: Buffer, input: ByteReader): AsyncGenerator<FramePiece> {
  const descriptor = await input.read(1);
  const flags = descriptor[0] ?? 0;
  const header = await input.read(headerSize(flags));
  checkHeader(flags, header);
  yield { bytes: Buffer.concat([magic, descriptor, header]), endsFrame: false };
  const hasChecksum = (flags & 4) !== 0;
  for (let last = false; !last; ) {
    const blockHeader = await input.read(3);
    const { size, isLast } = parseBlockHeader(blockHeader);
    const block = await input.read(size);
    last = isLast;
    yield { bytes: Buffer.concat([blockHeader, block]), endsFrame: last && !hasChecksum };
  }
  if (hasChecksum) yield { bytes: await input.read(4), endsFrame: true };
}

/** Bytes of a frame header behind its descriptor: window, dictionary id, content size. */
function headerSize(flags: number): number {
  const singleSegment = (flags >> 5) & 1;
  const dictionary = [0, 1, 2, 4][flags & 3] ?? 0;
  const contentSize = [singleSegment, 2, 4, 8][flags >> 6] ?? 0;
  return 1 - singleSegment + dictionary + contentSize;
}

function checkHeader(flags: number, header: Buffer): void {
  if (flags & 8) throw damaged("a frame has a reserved flag");
  const singleSegment = (flags >> 5) & 1;
  const dictionary = [0, 1, 2, 4][flags & 3] ?? 0;
  if (dictionary > 0 && header.readUIntLE(1 - singleSegment, dictionary) !== 0) {
    throw damaged("a frame needs a dictionary, which no layer has");
  }
  const window = singleSegment ? contentSize(flags, header.subarray(dictionary)) : windowSize(header[0] ?? 0);
  if (window <= MAX_WINDOW) return;
  throw new ImageError(`The layer's zstd data needs a window of ${window} bytes; at most ${MAX_WINDOW} are accepted`, {
    hint: "Pack the layer again without --ultra or --long.",
  });
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** Without a window of its own, a frame needs one as large as its content. */
function contentSize(flags: number, field: Buffer): number {
  switch (flags >> 6) {
    case 0:
      return field.readUInt8(0);
    case 1:
      return field.readUInt16LE(0) + 256;
    case 2:
      return field.readUInt32LE(0);
    default:
      return Number(field.readBigUInt64LE(0));
  }
}

function parseBlockHeader(header: Buffer): { size: number; isLast: boolean } {
  const bits = header.readUIntLE(0, 3);
  const type = (bits >> 1) & 3;
  if (type === 3) throw damaged("a block is of a reserved type");
  if (bits >> 3 > MAX_BLOCK) throw damaged("a block is too large");
  // A run of one byte is stored as that byte.
  return { size: type === 1 ? 1 : bits >> 3, isLast: (bits & 1) === 1 };
}

/** Unpacks zstd data of any number of frames. */
export function unpackZstd(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  if (!createZstdDecompress) return decodeZstd(source);
  const pieces = framePieces(source);
  const next = () => nextPortion(pieces);
  const unused = (_: Buffer, length: number) => {
    if (length > 0) throw damaged("a frame is longer than its content");
  };
  return runCodec({ next, unused }, createZstdDecompress({ chunkSize: OUTPUT_CHUNK }), "layer's zstd data");
}

/**
 * As much of the data as is worth a call of Node's decoder, but never beyond the end of a frame: given more, it stops there.
 */
async function nextPortion(pieces: AsyncGenerator<FramePiece>): Promise<Buffer | undefined> {
  const portion: Buffer[] = [];
  for (let size = 0; size < OUTPUT_CHUNK; ) {
    const { value, done } = await pieces.next();
    if (done) break;
    portion.push(value.bytes);
    size += value.bytes.length;
    if (value.endsFrame) break;
  }
  return portion.length === 0 ? undefined : Buffer.concat(portion);
}

/** Decodes zstd data in JavaScript, for a Node that has no zstd. */
export async function* decodeZstd(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let decoded: Uint8Array[] = [];
  let decoder: Decompress | undefined;
  for await (const { bytes, endsFrame } of framePieces(source)) {
    decoder ??= new Decompress((chunk) => decoded.push(chunk));
    push(decoder, bytes, false);
    if (endsFrame) {
      push(decoder, new Uint8Array(0), true);
      decoder = undefined;
    }
    for (const chunk of decoded) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    decoded = [];
  }
}

function push(decoder: Decompress, bytes: Uint8Array, final: boolean): void {
  try {
    decoder.push(bytes, final);
  } catch (error) {
    throw damaged((error as Error).message, error);
  }
}

function damaged(what: string, cause?: unknown): ImageError {
  return new ImageError(`The layer's zstd data is damaged: ${what}`, { cause });
}
