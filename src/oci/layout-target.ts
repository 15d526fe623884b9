import { type FileHandle, mkdir, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Digest, splitDigest } from "./digest.js";
import { OCI_INDEX } from "./media-types.js";
import { TarWriter } from "./tar-writer.js";
import type { ImageTarget, OutgoingBlob, OutgoingDocument, PutOptions } from "./target.js";
import { verified } from "./verified-stream.js";

const BLOBS_AT_ONCE = 3;
const MARK = JSON.stringify({ imageLayoutVersion: "1.0.0" });

/** What an image is called in a layout or an archive. */
export interface ImageNames {
  /** Such as `3.20`. */
  tag: string;
  /** The name in full, such as `docker.io/library/alpine:3.20`, where it has one. */
  full?: string | undefined;
}

/** Writes an OCI image layout (image specification 1.1, image-layout.md) into a folder that is not there yet. */
export async function openLayoutTarget(folder: string, names: readonly ImageNames[]): Promise<ImageTarget> {
  await mkdir(folder, { recursive: true });
  const write = async (path: string, bytes: Uint8Array | string) => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  };
  return {
    name: folder,
    blobsAtOnce: BLOBS_AT_ONCE,
    async putBlob(blob, options = {}) {
      const path = join(folder, pathOf(blob.digest));
      if (await stat(path).catch(() => undefined)) return "present";
      await mkdir(dirname(path), { recursive: true });
      const partial = `${path}.partial`;
      try {
        await using file = await open(partial, "wx", 0o644);
        for await (const chunk of contentOf(blob, options)) await file.appendFile(chunk);
      } catch (error) {
        await rm(partial, { force: true });
        throw error;
      }
      await rename(partial, path);
      return "pushed";
    },
    putDocument: (document) => write(pathOf(document.digest), document.bytes),
    async finish(root) {
      await write(pathOf(root.digest), root.bytes);
      await write("oci-layout", MARK);
      await write("index.json", indexOf(root, names));
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Writes a tar file of an OCI image layout. A tar file is written from front to back, so its blobs come one by one. */
export function openArchiveTarget(file: FileHandle, name: string, names: readonly ImageNames[]): ImageTarget {
  const tar = new TarWriter(file);
  const put = (document: OutgoingDocument) => tar.addBytes(pathOf(document.digest), document.bytes);
  return {
    name,
    blobsAtOnce: 1,
    async putBlob(blob, options = {}) {
      await tar.add(contentOf(blob, options), () => pathOf(blob.digest));
      return "pushed";
    },
    putDocument: put,
    async finish(root) {
      await put(root);
      await tar.addBytes("oci-layout", Buffer.from(MARK));
      await tar.addBytes("index.json", Buffer.from(indexOf(root, names)));
      await tar.end();
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** A blob's bytes, verified as they pass. */
export async function* contentOf(blob: OutgoingBlob, { signal, onBytes }: PutOptions): AsyncGenerator<Buffer> {
  let done = 0;
  for await (const chunk of verified(await blob.open(signal), blob, `blob ${blob.digest}`)) {
    yield chunk;
    done += chunk.length;
    onBytes?.(done);
  }
}

/** An image with several names is in it as often, as BuildKit writes it. */
function indexOf({ mediaType, digest, bytes, artifactType }: OutgoingDocument, names: readonly ImageNames[]): string {
  const root = { mediaType, digest, size: bytes.length, ...(artifactType && { artifactType }) };
  const manifests = names.map(({ tag, full }) => {
    const annotations = {
      "org.opencontainers.image.ref.name": tag,
      ...(full !== undefined && { "io.containerd.image.name": full }),
    };
    return { ...root, annotations };
  });
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
}

function pathOf(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `blobs/${algorithm}/${hex}`;
}
