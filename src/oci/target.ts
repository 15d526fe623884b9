import type { Readable } from "node:stream";
import type { Digest } from "./digest.js";

/** A blob that is to be put somewhere. */
export interface OutgoingBlob {
  digest: Digest;
  /** Bytes. */
  size: number;
  mediaType: string;
  /** Streams the blob from its first byte; called again when it has to be sent anew. It is not trusted. */
  open(signal?: AbortSignal): Promise<Readable>;
}

/** A manifest or index that is to be put somewhere, verified. */
export interface OutgoingDocument {
  digest: Digest;
  mediaType: string;
  bytes: Buffer;
  /** Of a manifest that is no image's. */
  artifactType?: string | undefined;
}

/** What became of a blob: it was sent, was there already, or was taken over from another repository of the registry. */
export type BlobOutcome = "pushed" | "present" | "mounted";

/** How a blob is put. */
export interface PutOptions {
  /** Is told how many bytes have been sent; less than before when it starts anew. */
  onBytes?: (done: number) => void;
  signal?: AbortSignal | undefined;
}

/** Where images are copied to: a registry, a layout, an archive. */
export interface ImageTarget extends AsyncDisposable {
  /** The target's text, for messages. */
  readonly name: string;
  /** How many blobs may be put at the same time. */
  readonly blobsAtOnce: number;
  /** Puts a blob, unless it is there. What does not have the promised digest and size is refused. */
  putBlob(blob: OutgoingBlob, options?: PutOptions): Promise<BlobOutcome>;
  /** Puts a document whose blobs and documents have been put before. */
  putDocument(document: OutgoingDocument, signal?: AbortSignal): Promise<void>;
  /** Puts the image's own manifest or index, and gives it its name. Before that nobody sees the image. */
  finish(root: OutgoingDocument, signal?: AbortSignal): Promise<void>;
}
