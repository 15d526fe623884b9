import { ImageError } from "../errors.js";
import type { Descriptor } from "./documents.js";
import { type ImageOrigin, readDocument } from "./origin.js";
import { MAX_DOCUMENT_BYTES } from "./parse-document.js";

/** An index can name any number of others: the work done for one image is bounded. */
const MAX_DOCUMENTS = 1_000;
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;

/** Reads and verifies a document; `what` is its kind, such as `manifest`. */
export type DocumentReader = (descriptor: Descriptor, what: string) => Promise<Buffer>;

/** Reads every document of one image at most once, and no more of them than any real image has. */
export function documentReader(origin: ImageOrigin, signal: AbortSignal | undefined): DocumentReader {
  const known = new Map<string, Promise<Buffer>>();
  let total = 0;
  return (descriptor, what) => {
    signal?.throwIfAborted();
    const key = `${descriptor.digest} ${descriptor.size}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    total += Math.min(descriptor.size, MAX_DOCUMENT_BYTES);
    if (known.size === MAX_DOCUMENTS || total > MAX_TOTAL_BYTES) {
      throw new ImageError(`${origin.name} has more documents than can be looked at for one image`);
    }
    const bytes = readDocument(origin, descriptor, what, signal);
    known.set(key, bytes);
    return bytes;
  };
}
