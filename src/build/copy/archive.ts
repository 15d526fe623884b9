import { UsageError } from "../../errors.js";
import { decompress } from "../../rootfs/index.js";

/** Where a tar archive's first header has its magic. */
const MAGIC_OFFSET = 257;
const HEADER_SIZE = 512;
const OTHER_PACKED = /\.(?:tar\.(?:xz|bz2|lzma)|txz|tbz2?|tlz)$/i;

/**
 * The bytes of a tar archive (plain, gzip or zstd), by its content as docker tells it; undefined for any other file.
 * @throws UsageError for an archive that is packed otherwise
 */
export async function openArchive(
  name: string,
  open: () => AsyncIterable<Buffer>,
): Promise<AsyncGenerator<Buffer> | undefined> {
  if (OTHER_PACKED.test(name)) {
    throw new UsageError(`${name} cannot be unpacked: it is packed neither with gzip nor with zstd`, {
      hint: "Pack it with gzip or zstd, or copy it with COPY and unpack it with RUN.",
    });
  }
  const head = await firstBytes(unpacked(open()));
  const isArchive = head.length === HEADER_SIZE && head.toString("latin1", MAGIC_OFFSET, MAGIC_OFFSET + 5) === "ustar";
  return isArchive ? unpacked(open()) : undefined;
}

async function* unpacked(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  async function* bytes() {
    yield* source;
  }
  yield* decompress(bytes());
}

/** Fewer when there are no more, or when the file only looks packed. */
async function firstBytes(source: AsyncGenerator<Buffer>): Promise<Buffer> {
  let head = Buffer.alloc(0);
  try {
    for await (const chunk of source) {
      head = Buffer.concat([head, chunk]).subarray(0, HEADER_SIZE);
      if (head.length === HEADER_SIZE) break;
    }
  } catch {
    return Buffer.alloc(0);
  }
  return head;
}
