import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { UsageError } from "../errors.js";
import {
  contentOf,
  type ImageNames,
  type ImageTarget,
  isConfig,
  isManifest,
  layerCompression,
  parseManifest,
  TarWriter,
} from "../oci/index.js";
import { decompress } from "../rootfs/index.js";

/**
 * Writes what `docker save` did before version 25, and what every `docker load` reads: the config and the unpacked layers,
 * named after their digests, and `manifest.json` that lists them.
 */
export function openDockerArchiveTarget(file: FileHandle, name: string, names: readonly ImageNames[]): ImageTarget {
  const tar = new TarWriter(file);
  const tags = names.flatMap(({ full }) => full ?? []);
  /** Names in the archive, by the blob's digest. */
  const files = new Map<string, string>();
  const written = new Set<string>();
  return {
    name,
    blobsAtOnce: 1,
    async putBlob(blob, options = {}) {
      const content = contentOf(blob, options);
      const isLayer = layerCompression(blob.mediaType) !== undefined;
      if (!isLayer && !isConfig(blob.mediaType)) throw notAnImage(name);
      const hash = createHash("sha256");
      const nameOf = () => {
        const path = `${hash.digest("hex")}.${isLayer ? "tar" : "json"}`;
        files.set(blob.digest, path);
        // Two blobs can be one layer, packed in two ways.
        if (written.has(path)) return undefined;
        written.add(path);
        return path;
      };
      await tar.add(hashed(isLayer ? decompress(content) : content, hash), nameOf);
      return "pushed";
    },
    async putDocument() {
      throw notAnImage(name);
    },
    async finish(root) {
      if (!isManifest(root.mediaType)) throw notAnImage(name);
      const { config, layers } = parseManifest(root.bytes, `manifest ${root.digest}`);
      const pathOf = ({ digest }: { digest: string }) => files.get(digest) ?? "";
      const image = {
        Config: pathOf(config),
        RepoTags: tags.length === 0 ? null : tags,
        Layers: layers.map(pathOf),
      };
      await tar.addBytes("manifest.json", Buffer.from(JSON.stringify([image])));
      await tar.end();
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function* hashed(chunks: AsyncGenerator<Buffer>, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

function notAnImage(name: string): UsageError {
  return new UsageError(`${name} cannot be docker's archive: it holds one image for one platform, and nothing else`, {
    hint: "Use the format oci-archive or oci-layout.",
  });
}
