import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, type Stats } from "node:fs";
import { readdir, realpath, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { ImageError } from "../errors.js";
import { home, produceOnce, sweepPartials } from "../store/index.js";

/** A compressed archive may not become larger than this, so that a small file cannot fill the disk. */
const MAX_UNPACKED_BYTES = 64 * 1024 ** 3;

/**
 * Unpacks a file that gzip packed, into the blob store, unless it is there from before: an archive that did not change is
 * unpacked once. Gives the path of the result.
 */
export async function unpackOnce(path: string, name: string, signal: AbortSignal | undefined): Promise<string> {
  const folder = join(home().blobs, "archives");
  const [place, version] = await identify(path);
  const unpacked = join(folder, `${place}-${version}.tar`);
  const options = {
    find: () => stat(unpacked).then((found: Stats) => (found.isFile() ? unpacked : undefined), ignoreMissing),
    make: async (partial: string) => {
      await sweepPartials(folder);
      await unpack(path, partial, name, signal);
      await removeOlder(folder, place);
    },
  };
  return produceOnce(unpacked, signal === undefined ? options : { ...options, signal });
}

/** Two names: of the archive's place, and of its content, which changes when it is replaced or written to. */
async function identify(path: string): Promise<[string, string]> {
  const real = await realpath(path);
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(real, { bigint: true });
  return [shortHash(real), shortHash([dev, ino, size, mtimeNs, ctimeNs].join(" "))];
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** What was unpacked of the archive when it had other content. Whoever reads such a file keeps it until it is closed. */
async function removeOlder(folder: string, place: string): Promise<void> {
  const older = (await readdir(folder)).filter((entry) => entry.startsWith(place) && entry.endsWith(".tar"));
  for (const entry of older) await rm(join(folder, entry), { force: true });
}

async function unpack(path: string, to: string, name: string, signal: AbortSignal | undefined): Promise<void> {
  let bytes = 0;
  const bound = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      bytes += chunk.length;
      const isTooLarge = bytes > MAX_UNPACKED_BYTES;
      callback(isTooLarge ? new ImageError(`${name} unpacks to more than ${MAX_UNPACKED_BYTES} bytes`) : null, chunk);
    },
  });
  const steps = [createReadStream(path), createGunzip({ chunkSize: 256 * 1024 }), bound, createWriteStream(to)];
  try {
    await pipeline(steps, signal === undefined ? {} : { signal });
  } catch (cause) {
    if (cause instanceof ImageError || signal?.aborted) throw cause;
    throw new ImageError(`${name} cannot be unpacked: ${(cause as Error).message}`, { cause });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
