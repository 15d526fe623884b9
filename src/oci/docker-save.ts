import { createHash } from "node:crypto";
import { posix } from "node:path";
import { Readable } from "node:stream";
import { ImageError, ImageNotFoundError } from "../errors.js";
import { type Digest, digestOf } from "./digest.js";
import { type Descriptor, type DockerSaveManifest, parseDockerSave } from "./documents.js";
import { collect, type FileTree, readWhole } from "./file-tree.js";
import { parseImageConfig } from "./image-config.js";
import { chooseNamed } from "./image-names.js";
import { type Compression, layerMediaType, OCI_CONFIG, OCI_MANIFEST } from "./media-types.js";
import type { ImageOrigin } from "./origin.js";
import { MAX_DOCUMENT_BYTES } from "./parse-document.js";
import { printable } from "./printable.js";
import type { LocalSource } from "./source.js";

export const DOCKER_SAVE_MANIFEST = "manifest.json";

const MAGIC: readonly { compression: Compression; bytes: Buffer }[] = [
  { compression: "gzip", bytes: Buffer.from([0x1f, 0x8b]) },
  { compression: "zstd", bytes: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) },
];

type SavedImage = DockerSaveManifest[number];
type Blob = { path: string } | { bytes: Buffer };

/**
 * Opens what `docker save` wrote before it wrote OCI layouts (and what skopeo's `docker-archive:` and others write):
 * `manifest.json` names a config and uncompressed layers. There is no OCI manifest in it, so one is made: always the same
 * one for the same image.
 */
export async function openDockerSave(tree: FileTree, source: LocalSource, signal?: AbortSignal): Promise<ImageOrigin> {
  const bytes = await readWhole(tree, DOCKER_SAVE_MANIFEST, MAX_DOCUMENT_BYTES, signal);
  const saved = choose(parseDockerSave(bytes, `${DOCKER_SAVE_MANIFEST} in ${tree.name}`), source, tree);
  const blobs = new Map<string, Blob>();
  const manifest = await makeManifest(saved, tree, blobs, signal);
  const root = { mediaType: OCI_MANIFEST, digest: digestOf(manifest), size: manifest.length };
  blobs.set(root.digest, { bytes: manifest });
  if (source.digest !== undefined && source.digest !== root.digest) {
    throw new ImageNotFoundError(`${tree.name}: there is no manifest ${source.digest}`, {
      hint: "An archive of docker save holds no manifests; name its image by tag.",
    });
  }
  return {
    name: tree.name,
    roots: [root],
    async size({ digest }) {
      const blob = blobs.get(digest);
      return blob && ("bytes" in blob ? blob.bytes.length : tree.size(blob.path));
    },
    async open({ digest }, abort) {
      const blob = blobs.get(digest);
      if (blob === undefined) throw new ImageNotFoundError(`${tree.name}: there is no blob ${digest}`);
      return "bytes" in blob ? Readable.from([blob.bytes]) : tree.open(blob.path, abort);
    },
    [Symbol.asyncDispose]: () => tree[Symbol.asyncDispose](),
  };
}

/** Each tag of an image is a name of its own, so that an image with two tags is still one image. */
function choose(images: DockerSaveManifest, source: LocalSource, tree: FileTree): SavedImage {
  const named = images.map((value) => ({ names: value.RepoTags?.length ? value.RepoTags : [value.Config], value }));
  const [first, ...others] = chooseNamed(named, source.tag, tree.name);
  if (first !== undefined && others.every((other) => other.Config === first.Config)) return first;
  throw new ImageError(`${DOCKER_SAVE_MANIFEST} in ${tree.name} has two images of the same name`);
}

async function makeManifest(
  saved: SavedImage,
  tree: FileTree,
  blobs: Map<string, Blob>,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const bytes = await readWhole(tree, saved.Config, MAX_DOCUMENT_BYTES, signal);
  const digest = digestOf(bytes);
  checkName(saved.Config, digest, tree);
  blobs.set(digest, { bytes });
  const { rootfs } = parseImageConfig(bytes, `${printable(saved.Config)} in ${tree.name}`);
  if (rootfs.diff_ids.length !== saved.Layers.length) {
    const counts = `${saved.Layers.length} layers, but its config has ${rootfs.diff_ids.length}`;
    throw new ImageError(`${tree.name}: ${DOCKER_SAVE_MANIFEST} names ${counts}`);
  }
  const layers: Descriptor[] = [];
  for (const [i, diffId] of rootfs.diff_ids.entries()) {
    layers.push(await describeLayer(saved.Layers[i] ?? "", diffId, tree, blobs, signal));
  }
  const config = { mediaType: OCI_CONFIG, digest, size: bytes.length };
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }));
}

/** The config's file is named after its digest, as `HEX.json` or `blobs/sha256/HEX`. */
function checkName(path: string, digest: Digest, tree: FileTree): void {
  const hex = /^([0-9a-f]{64})(?:\.json)?$/.exec(posix.basename(path))?.[1];
  if (hex === undefined || digest === `sha256:${hex}`) return;
  throw new ImageError(`${tree.name}: the config ${printable(path)} has the wrong content: its digest is ${digest}`, {
    hint: "The image is damaged or was tampered with.",
  });
}

/** The digest of an uncompressed layer is its diff id. Some tools save compressed layers: those are read to get theirs. */
async function describeLayer(
  path: string,
  diffId: Digest,
  tree: FileTree,
  blobs: Map<string, Blob>,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  const size = await tree.size(path);
  if (size === undefined) throw new ImageNotFoundError(`${tree.name}: the layer ${printable(path)} is missing`);
  const head = await collect(await tree.open(path, signal, 4), 4);
  const compression = MAGIC.find(({ bytes }) => head.subarray(0, bytes.length).equals(bytes))?.compression ?? "none";
  const digest = compression === "none" ? diffId : await hashFile(path, tree, signal);
  if (!blobs.has(digest)) blobs.set(digest, { path });
  return { mediaType: layerMediaType(compression), digest, size };
}

async function hashFile(path: string, tree: FileTree, signal: AbortSignal | undefined): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const chunk of await tree.open(path, signal)) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}
