import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { ImageError } from "../errors.js";
import { type Digest, splitDigest } from "./digest.js";

/**
 * Gives the stream's bytes as they come, all but the last chunk of them before they are known to be right: whoever stores
 * them waits for the end.
 * @throws ImageError when there are more or fewer bytes than promised, or others
 */
export function verified(
  stream: Readable,
  descriptor: { digest: Digest; size: number },
  what: string,
): AsyncGenerator<Buffer> {
  // One that is given up before anybody reads it must not end the process.
  stream.on("error", () => undefined);
  return verify(stream, descriptor, what);
}

async function* verify(
  stream: Readable,
  { digest, size }: { digest: Digest; size: number },
  what: string,
): AsyncGenerator<Buffer> {
  const { algorithm, hex } = splitDigest(digest);
  const hash = createHash(algorithm);
  let length = 0;
  let last: Buffer | undefined;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > size) throw new ImageError(`${what} has more than the ${size} bytes that it should have`, DAMAGED);
    hash.update(chunk);
    if (last !== undefined) yield last;
    last = chunk;
  }
  if (length < size) throw new ImageError(`${what} has ${length} bytes instead of ${size}`, DAMAGED);
  const actual = hash.digest("hex");
  if (actual !== hex) {
    throw new ImageError(`${what} has the wrong content: its digest is ${algorithm}:${actual}`, DAMAGED);
  }
  if (last !== undefined) yield last;
}

const DAMAGED = { hint: "The copy is damaged or was tampered with; make or fetch it again." };
