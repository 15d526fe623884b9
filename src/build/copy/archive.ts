import { ReadableStream } from "node:stream/web";
import { ImageError } from "../../errors.js";
import { decompress, unpackLimit } from "../../rootfs/index.js";
import { bunzip2 } from "./bzip2.js";

/** Where a tar archive's first header has its magic. */
const MAGIC_OFFSET = 257;
const HEADER_SIZE = 512;
const XZ = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);
const BZIP2 = Buffer.from("BZh");

/** A file that may be an archive. */
export interface MaybeArchive {
  name: string;
  size: number;
  open(): AsyncIterable<Buffer>;
}

/** The bytes of a tar archive (plain, or packed with gzip, zstd, xz or bzip2), by its content as docker tells it; undefined for any other file. */
export async function openArchive(file: MaybeArchive): Promise<AsyncGenerator<Buffer> | undefined> {
  const head = await firstBytes(unpacked(file), HEADER_SIZE);
  const isArchive = head.length === HEADER_SIZE && head.toString("latin1", MAGIC_OFFSET, MAGIC_OFFSET + 5) === "ustar";
  return isArchive ? unpacked(file) : undefined;
}

/** @throws ImageError when it is damaged, or unpacks to more than anything that is meant well */
async function* unpacked({ name, size, open }: MaybeArchive): AsyncGenerator<Buffer> {
  const start = await firstBytes(bytesOf(open()), XZ.length);
  const limit = unpackLimit(size);
  let count = 0;
  for await (const chunk of decoded(start, bytesOf(open()))) {
    count += chunk.length;
    if (count > limit) {
      throw new ImageError(`${name} unpacks to more than ${Math.floor(limit / 1024 ** 2)} MiB from ${size} bytes`, {
        hint: "If it is to be trusted, set SUPERMACHINE_MAX_LAYER_MIB to what it may have.",
      });
    }
    yield chunk;
  }
}

function decoded(start: Buffer, bytes: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  if (start.equals(XZ)) return unxz(bytes);
  return start.subarray(0, BZIP2.length).equals(BZIP2) ? bunzip2(bytes) : decompress(bytes);
}

/** By XZ Embedded in WebAssembly, where damaged data can reach nothing. */
async function* unxz(bytes: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const { XzReadableStream } = (await import("xz-decompress")).default;
  const input = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await bytes.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => void (await bytes.return(undefined)),
  });
  try {
    const output = new XzReadableStream(input as unknown as ConstructorParameters<typeof XzReadableStream>[0]);
    for await (const chunk of output as unknown as ReadableStream<Uint8Array>) yield Buffer.from(chunk);
  } catch (cause) {
    throw new ImageError("The archive's xz data is damaged, or of a kind that is not supported", {
      cause,
      hint: "Filters besides LZMA2, and SHA-256 as its check, are not supported: pack it with xz's defaults.",
    });
  }
}

async function* bytesOf(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* source;
}

/** Fewer when there are no more, or when the file only looks packed. */
async function firstBytes(source: AsyncGenerator<Buffer>, count: number): Promise<Buffer> {
  let head = Buffer.alloc(0);
  try {
    for await (const chunk of source) {
      head = Buffer.concat([head, chunk]).subarray(0, count);
      if (head.length === count) break;
    }
  } catch {
    return Buffer.alloc(0);
  }
  return head;
}
