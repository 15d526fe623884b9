import { ImageError } from "../errors.js";
import type { LongWork } from "../progress.js";
import { together } from "../together.js";
import { chooseDescriptor, MAX_INDEX_DEPTH } from "./choose-manifest.js";
import { type Digest, digestOf } from "./digest.js";
import { type DocumentReader, documentReader } from "./document-reader.js";
import { type Descriptor, parseIndex, parseManifest } from "./documents.js";
import { parseImageConfig } from "./image-config.js";
import { isConfig, isIndex, isManifest, OCI_INDEX } from "./media-types.js";
import { type ImageOrigin, verifiableDigest } from "./origin.js";
import { formatPlatform, hostPlatform, isFor, type Platform } from "./platform.js";
import type { BlobOutcome, ImageTarget, OutgoingBlob, OutgoingDocument } from "./target.js";

/** What of an image is copied, and how that is reported. */
export interface CopyOptions extends LongWork {
  /** All that an index names, instead of one platform's image. */
  all?: boolean | undefined;
  /** Which image of an index; by default what suits this machine. */
  platform?: Platform | undefined;
  phase: "push" | "save";
}

/** What was copied. */
export interface CopyResult {
  /** Digest of the manifest or index that the target's name stands for now. */
  digest: Digest;
  mediaType: string;
  /** Bytes of all blobs and documents. */
  size: number;
  /** How many blobs were sent, were there before, or were taken over from another repository of the registry. */
  blobs: Record<BlobOutcome, number>;
}

/** Everything that makes up what is copied: documents with the root last, and the blobs that they name. */
interface Content {
  documents: Map<string, OutgoingDocument>;
  blobs: Map<string, OutgoingBlob>;
}

/**
 * Copies an image as it is: every document and every blob keeps its bytes, and so its digest. The name is given last, when
 * everything else is there.
 */
export async function copyImage(origin: ImageOrigin, target: ImageTarget, options: CopyOptions): Promise<CopyResult> {
  const { signal } = options;
  const read = documentReader(origin, signal);
  const content: Content = { documents: new Map(), blobs: new Map() };
  const root = options.all ? await rootOfAll(origin, read, content) : await rootOfOne(origin, options, read, content);
  const blobs = await putBlobs([...content.blobs.values()], target, options);
  const documents = [...content.documents.values()];
  for (const document of documents) {
    if (document.digest !== root.digest) await target.putDocument(document, signal);
  }
  await target.finish(root, signal);
  const sizes = [...content.blobs.values()].map(({ size }) => size);
  const size = [...sizes, ...documents.map(({ bytes }) => bytes.length)].reduce((sum, each) => sum + each, 0);
  return { digest: root.digest, mediaType: root.mediaType, size, blobs };
}

async function rootOfOne(
  origin: ImageOrigin,
  { platform }: CopyOptions,
  read: DocumentReader,
  content: Content,
): Promise<OutgoingDocument> {
  const { descriptor } = await chooseDescriptor(origin, platform ?? hostPlatform(), read);
  if (platform !== undefined) await requirePlatform(origin, descriptor, platform, read);
  return gather(origin, descriptor, read, content);
}

/** A layout can have one name for several manifests. The index over them is made here; it is not theirs. */
async function rootOfAll(origin: ImageOrigin, read: DocumentReader, content: Content): Promise<OutgoingDocument> {
  const roots: OutgoingDocument[] = [];
  for (const descriptor of origin.roots) roots.push(await gather(origin, descriptor, read, content));
  const [only, ...others] = roots;
  if (only !== undefined && others.length === 0) return only;
  const manifests = origin.roots.map(({ mediaType, digest, size, platform }) => ({
    ...{ mediaType, digest, size },
    ...(platform && { platform }),
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  const index = { digest: digestOf(bytes), mediaType: OCI_INDEX, bytes };
  content.documents.set(index.digest, index);
  return index;
}

/** Only a platform that was asked for is a must: what is the only image of its name can be copied wherever it runs. */
async function requirePlatform(
  origin: ImageOrigin,
  descriptor: Descriptor,
  wanted: Platform,
  read: DocumentReader,
): Promise<void> {
  const what = `manifest ${descriptor.digest} in ${origin.name}`;
  const { config } = parseManifest(await read(descriptor, "manifest"), what);
  if (!isConfig(config.mediaType)) return;
  const own = parseImageConfig(await read(config, "config"), `config ${config.digest} in ${origin.name}`);
  if (isFor(wanted, own)) return;
  throw new ImageError(`${origin.name} is for ${formatPlatform(own)}, not for ${formatPlatform(wanted)}`);
}

/** Collects a document and everything below it, what is below first. */
async function gather(
  origin: ImageOrigin,
  descriptor: Descriptor,
  read: DocumentReader,
  content: Content,
  depth = 0,
): Promise<OutgoingDocument> {
  const known = content.documents.get(descriptor.digest);
  if (known !== undefined) return known;
  const { mediaType } = descriptor;
  const digest = verifiableDigest(descriptor, origin.name);
  if (depth > MAX_INDEX_DEPTH) throw new ImageError(`${origin.name}: indexes are nested too deep`);
  if (isIndex(mediaType)) {
    const bytes = await read(descriptor, "index");
    const { manifests } = parseIndex(bytes, `index ${digest} in ${origin.name}`);
    for (const entry of manifests) await gather(origin, entry, read, content, depth + 1);
    return keep({ digest, mediaType, bytes }, content);
  }
  if (!isManifest(mediaType)) {
    throw new ImageError(`${origin.name}: ${digest} is of the media type ${mediaType}, which cannot be copied`);
  }
  const bytes = await read(descriptor, "manifest");
  const { config, layers, artifactType } = parseManifest(bytes, `manifest ${digest} in ${origin.name}`);
  for (const blob of [config, ...layers]) {
    const open = (signal?: AbortSignal) => origin.open(blob, signal);
    const { size, mediaType: type } = blob;
    content.blobs.set(blob.digest, { digest: verifiableDigest(blob, origin.name), size, mediaType: type, open });
  }
  return keep({ digest, mediaType, bytes, artifactType: artifactType ?? undefined }, content);
}

function keep(document: OutgoingDocument, { documents }: Content): OutgoingDocument {
  documents.set(document.digest, document);
  return document;
}

/** Large blobs first: the last ones to be sent should be short. */
async function putBlobs(
  blobs: OutgoingBlob[],
  target: ImageTarget,
  { signal: outer, onProgress, phase }: CopyOptions,
): Promise<CopyResult["blobs"]> {
  const queue = blobs.toSorted((a, b) => b.size - a.size);
  const outcomes = { pushed: 0, present: 0, mounted: 0 };
  const put = async (signal: AbortSignal): Promise<void> => {
    for (let blob = queue.shift(); blob; blob = queue.shift()) {
      const step = { phase, item: blob.digest, total: blob.size };
      onProgress?.({ ...step, done: 0 });
      const onBytes = (done: number) => onProgress?.({ ...step, done });
      outcomes[await target.putBlob(blob, { signal, onBytes })]++;
      onProgress?.({ ...step, done: blob.size, finished: true });
    }
  };
  await together(outer, Array(target.blobsAtOnce).fill(put));
  return outcomes;
}
