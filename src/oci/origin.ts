import type { Readable } from "node:stream";
import { ImageError, ImageNotFoundError } from "../errors.js";
import type { Retry } from "../progress.js";
import { type Digest, digestOf, isDigest, splitDigest } from "./digest.js";
import type { Descriptor } from "./documents.js";
import { collect } from "./file-tree.js";
import { MAX_DOCUMENT_BYTES } from "./parse-document.js";

/** Is told when a download broke off and goes on. */
export type OnRetry = (retry: Retry) => void;

/**
 * Where an image's documents and layers are fetched from, by digest: a layout, an archive, a registry. What it gives
 * is not trusted; whoever reads it verifies it.
 */
export interface ImageOrigin extends AsyncDisposable {
  /** The source's text, for messages. */
  readonly name: string;
  /** Blobs come over a network. */
  readonly isRemote?: boolean;
  /**
   * What the source's reference names: manifests or indexes. More than one only where a layout has one name for several
   * platforms; then the platform decides.
   */
  readonly roots: readonly Descriptor[];
  /** Size of the blob in bytes, without reading it; `undefined` when the origin does not have it. */
  size(descriptor: Descriptor): Promise<number | undefined>;
  /** Streams the blob as it is stored. */
  open(descriptor: Descriptor, signal?: AbortSignal, onRetry?: OnRetry): Promise<Readable>;
  /** Where `open` may give what is at a mirror: the same from the place that has the last word. */
  openAgain?(descriptor: Descriptor, signal?: AbortSignal, onRetry?: OnRetry): Promise<Readable>;
}

/** The descriptor's digest, when it is of an algorithm that can be verified. */
export function verifiableDigest(descriptor: Descriptor, name: string): Digest {
  if (isDigest(descriptor.digest)) return descriptor.digest;
  throw new ImageError(`${name}: the digest ${descriptor.digest} cannot be verified; sha256 and sha512 can`);
}

/** Makes sure that a blob is there and is as long as its descriptor says. */
export async function checkBlob(origin: ImageOrigin, descriptor: Descriptor, what: string): Promise<void> {
  verifiableDigest(descriptor, origin.name);
  const size = await origin.size(descriptor);
  if (size === undefined) {
    throw new ImageNotFoundError(`${origin.name}: ${what} ${descriptor.digest} is missing`, {
      hint: "The image is not complete; make or copy it again.",
    });
  }
  if (size === descriptor.size) return;
  throw new ImageError(`${origin.name}: ${what} ${descriptor.digest} has ${size} bytes instead of ${descriptor.size}`, {
    hint: "The image is damaged; make or copy it again.",
  });
}

/** Reads a document as a whole and verifies its size and digest. `what` is its kind, such as `manifest`. */
export async function readDocument(
  origin: ImageOrigin,
  descriptor: Descriptor,
  what: string,
  signal?: AbortSignal,
): Promise<Buffer> {
  const digest = verifiableDigest(descriptor, origin.name);
  if (descriptor.size > MAX_DOCUMENT_BYTES) {
    const most = `at most ${MAX_DOCUMENT_BYTES} are allowed`;
    throw new ImageError(`${origin.name}: ${what} ${digest} has ${descriptor.size} bytes; ${most}`);
  }
  await checkBlob(origin, descriptor, what);
  const bytes = await collect(await origin.open(descriptor, signal), descriptor.size);
  const actual = digestOf(bytes, splitDigest(digest).algorithm);
  if (actual === digest && bytes.length === descriptor.size) return bytes;
  throw new ImageError(`${origin.name}: ${what} ${digest} has the wrong content: its digest is ${actual}`, {
    hint: "The image is damaged or was tampered with.",
  });
}
