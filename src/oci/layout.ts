import { ImageError, ImageNotFoundError } from "../errors.js";
import { isDigest, splitDigest } from "./digest.js";
import { checkImageLayout, type Descriptor, documentType, type ImageIndex, parseIndex } from "./documents.js";
import { type FileTree, readWhole } from "./file-tree.js";
import { chooseNamed } from "./image-names.js";
import { isConfig, OCI_MANIFEST, SNAPSHOT_ARTIFACT } from "./media-types.js";
import { type ImageOrigin, readDocument } from "./origin.js";
import { MAX_DOCUMENT_BYTES } from "./parse-document.js";
import { isAttestation } from "./platform.js";
import type { LocalSource } from "./source.js";

export const INDEX = "index.json";
const MARK = "oci-layout";
/** Names of an image in an index, the fuller one first: containerd's and docker's own, and the specification's. */
const NAME_ANNOTATIONS = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/** Opens an OCI image layout (image specification 1.1, image-layout.md) in a folder or an archive. */
export async function openLayout(tree: FileTree, source: LocalSource, signal?: AbortSignal): Promise<ImageOrigin> {
  checkImageLayout(await readWhole(tree, MARK, MAX_DOCUMENT_BYTES, signal), `${MARK} in ${tree.name}`);
  const bytes = await readWhole(tree, INDEX, MAX_DOCUMENT_BYTES, signal);
  const index = parseIndex(bytes, `${INDEX} in ${tree.name}`);
  const blobs = {
    name: tree.name,
    roots: [],
    size: (descriptor: Descriptor) => tree.size(blobPath(descriptor, tree)),
    open: (descriptor: Descriptor, abort?: AbortSignal) => tree.open(blobPath(descriptor, tree), abort),
    [Symbol.asyncDispose]: () => tree[Symbol.asyncDispose](),
  };
  return { ...blobs, roots: await chooseRoots(index, source, blobs, signal) };
}

async function chooseRoots(
  index: ImageIndex,
  source: LocalSource,
  blobs: ImageOrigin,
  signal: AbortSignal | undefined,
): Promise<Descriptor[]> {
  const entries = index.manifests
    .filter((entry) => !isAttestation(entry) && !isArtifact(entry))
    .map((value) => ({ names: namesOf(value), value }));
  const { digest, tag } = source;
  if (digest === undefined) return chooseNamed(entries, tag, blobs.name);
  const candidates = tag === undefined ? entries.map(({ value }) => value) : chooseNamed(entries, tag, blobs.name);
  const found = candidates.find((candidate) => candidate.digest === digest);
  if (found !== undefined) return [found];
  if (tag === undefined) return [await describe(digest, blobs, signal)];
  throw new ImageNotFoundError(`${blobs.name}: the image ${tag} has not the digest ${digest}`);
}

/** A digest may name a manifest that is only in a nested index; the document itself tells what it is. */
async function describe(digest: string, blobs: ImageOrigin, signal: AbortSignal | undefined): Promise<Descriptor> {
  const size = await blobs.size({ mediaType: OCI_MANIFEST, digest, size: 0 });
  if (size === undefined) throw new ImageNotFoundError(`${blobs.name}: there is no manifest ${digest}`);
  const bytes = await readDocument(blobs, { mediaType: OCI_MANIFEST, digest, size }, "manifest", signal);
  return { mediaType: documentType(bytes, `${digest} in ${blobs.name}`), digest, size };
}

function namesOf(descriptor: Descriptor): string[] {
  return NAME_ANNOTATIONS.map((key) => descriptor.annotations?.[key] ?? "").filter((name) => name !== "");
}

/** Of something else than what can be run. */
function isArtifact({ artifactType }: Descriptor): boolean {
  return Boolean(artifactType) && !isConfig(artifactType ?? "") && artifactType !== SNAPSHOT_ARTIFACT;
}

function blobPath(descriptor: Descriptor, tree: FileTree): string {
  if (!isDigest(descriptor.digest)) throw new ImageError(`${tree.name}: ${descriptor.digest} is not a digest`);
  const { algorithm, hex } = splitDigest(descriptor.digest);
  return `blobs/${algorithm}/${hex}`;
}
