import { createInflateRaw } from "node:zlib";
import { ImageError } from "../../errors.js";
import { ByteReader } from "./byte-reader.js";
import { type Codec, OUTPUT_CHUNK, runCodec } from "./codec.js";

// The format: RFC 1952.
const MAGIC = Buffer.from([0x1f, 0x8b, 0x08]);
const FLAG = { headerChecksum: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 };
/** CRC-32 and length of the content. */
const TRAILER_SIZE = 8;
/** The name or comment in a member's header; nobody needs more. */
const MAX_TEXT = 64 * 1024;

/**
 * Unpacks gzip data of any number of members. What follows the last of them and is no member is ignored, as `gzip -d` does
 * (Node's own stream refuses it, or not, depending on where its input was cut), but still read, because the digest covers it.
 *
 * The members' checksums are not compared: whoever calls this verifies the digest of what comes out.
 */
export async function* gunzip(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const what = "layer's gzip data";
  const input = new ByteReader(source, what);
  do {
    await skipHeader(input);
    const codecInput = {
      next: () => input.readSome(),
      unused: (last: Buffer, length: number) => input.unread(last, length),
    };
    yield* runCodec(codecInput, createInflateRaw({ chunkSize: OUTPUT_CHUNK }) as unknown as Codec, what);
    await input.skip(TRAILER_SIZE);
  } while (await beginsMember(input));
  while (await input.readSome());
}

async function beginsMember(input: ByteReader): Promise<boolean> {
  for (const [i, byte] of MAGIC.entries()) {
    if ((await input.peek(i)) !== byte) return false;
  }
  return true;
}

async function skipHeader(input: ByteReader): Promise<void> {
  const header = await input.read(10);
  const flags = header[3] ?? 0;
  if (!header.subarray(0, 3).equals(MAGIC) || flags & FLAG.reserved) {
    throw new ImageError("The layer's gzip data is damaged: a member has an unknown header");
  }
  if (flags & FLAG.extra) await input.skip((await input.read(2)).readUInt16LE(0));
  if (flags & FLAG.name) await skipText(input);
  if (flags & FLAG.comment) await skipText(input);
  if (flags & FLAG.headerChecksum) await input.skip(2);
}

async function skipText(input: ByteReader): Promise<void> {
  for (let i = 0; i < MAX_TEXT; i++) {
    if ((await input.read(1))[0] === 0) return;
  }
  throw new ImageError("The layer's gzip data is damaged: a member's header does not end");
}
