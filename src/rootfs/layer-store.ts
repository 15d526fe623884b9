import { randomUUID } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { acquireLock, explainingNoSpace, isEntry, produceOnce, sweepPartials } from "../store/index.js";
import { BLOCK_SIZE, readSuperblock, type VerifyOptions, verifyImage } from "./erofs/index.js";
import { archiveDigest, convertLayer, EMPTY_LAYER, parseDigest, writeLayer } from "./layer/index.js";

/** Is part of every stored file's name: raise it when the converter's output changes, and layers are converted anew. */
const CONVERTER_VERSION = 2;
const SUFFIX = `.v${CONVERTER_VERSION}.erofs`;

/** A layer that an image is made of, as its documents describe it. */
export interface LayerDescription {
  /** Digest of the uncompressed archive: the layer's identity. */
  diffId: string;
  /** Digest of the blob as it is fetched. */
  blobDigest: string;
  mediaType: string;
  /** Bytes of the blob. */
  size?: number;
}

/** A layer in the store. */
export interface StoredLayer {
  diffId: string;
  /** An EROFS image. */
  path: string;
  /** Bytes of the image. */
  size: number;
  /** The layer has no entries, and can be left out of a stack. */
  empty: boolean;
}

/** What {@link LayerStore.ensure} gives. */
export interface EnsuredLayer extends StoredLayer {
  /** Whether it was converted by this call, not found. */
  converted: boolean;
}

/** What {@link LayerStore.add} gives. */
export interface AddedLayer extends StoredLayer {
  /** Entries of its archive. */
  entries: number;
}

export interface EnsureOptions {
  signal?: AbortSignal | undefined;
  /** Is told how many bytes of the blob have been read. Not called when the layer is there already. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/** Layers as EROFS images in a folder, each converted once and shared by every image that has it. */
export class LayerStore {
  readonly #folder: string;
  #swept: Promise<void> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Finds a layer, or converts it from the bytes that `open` gives. Processes that want the same layer convert it once; a
   * stored file that is damaged or truncated is converted anew.
   *
   * @throws ImageError when the layer's content is not what its description says.
   */
  async ensure(
    layer: LayerDescription,
    open: () => Promise<Readable>,
    options: EnsureOptions = {},
  ): Promise<EnsuredLayer> {
    const path = this.pathOf(layer.diffId);
    this.#swept ??= sweepPartials(this.#folder);
    await this.#swept;
    let converted = false;
    const stored = await produceOnce(path, {
      find: () => readStored(path, layer.diffId),
      make: async (partial) => {
        const { diffId, blobDigest, mediaType, size: blobSize } = layer;
        await convertLayer(await open(), { ...options, diffId, blobDigest, mediaType, blobSize, output: partial });
        converted = true;
      },
      ...(options.signal ? { signal: options.signal } : {}),
    });
    return { ...stored, converted };
  }

  /**
   * Keeps a layer that is made here, from its archive (not packed). Its diff id is that of {@link layerArchive}, whatever form the archive has.
   * @throws ImageError when the archive is not a layer's
   */
  async add(archive: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<AddedLayer> {
    this.#swept ??= sweepPartials(this.#folder);
    await this.#swept;
    // The same form as what is half-made in its place, so that sweeping knows it.
    const owner = join(this.#folder, randomUUID());
    await using _lock = await acquireLock(`${owner}.lock`, signal);
    const made = `${owner}.partial`;
    try {
      const { entries } = await explainingNoSpace(made, () => writeLayer(archive, made, signal));
      const diffId = await archiveDigest(made);
      const path = this.pathOf(diffId);
      const stored = await produceOnce(path, {
        find: () => readStored(path, diffId),
        make: (partial) => rename(made, partial),
        ...(signal && { signal }),
      });
      return { ...stored, entries };
    } finally {
      await rm(made, { force: true });
    }
  }

  /** The layer, if it was converted here and is intact. */
  find(diffId: string): Promise<StoredLayer | undefined> {
    return readStored(this.pathOf(diffId), diffId);
  }

  /**
   * Keeps an EROFS image that was made elsewhere. Nobody can tell whether it is what its diff id promises, so it stands for
   * itself alone, under the digest of its bytes, and never for the layer that is converted here.
   * @param make writes the image to a path, and makes sure that it has the digest
   */
  async ensureImage(
    image: { diffId: string; digest: string },
    make: (partial: string) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<StoredLayer> {
    const path = this.imagePath(image.digest);
    const find = () => readStored(path, image.diffId);
    return produceOnce(path, { find, make, ...(signal ? { signal } : {}) });
  }

  /** Where an EROFS image that was made elsewhere is, or will be. */
  imagePath(digest: string): string {
    return join(this.#folder, `image-${fileStem(digest)}.erofs`);
  }

  /** The intact layers, in no particular order. */
  async list(): Promise<StoredLayer[]> {
    const names = await readdir(this.#folder).catch(ifMissing<string[]>([]));
    const found = await Promise.all(
      names
        .filter((name) => isEntry(name) && name.endsWith(SUFFIX))
        .map((name) => {
          const diffId = name.slice(0, -SUFFIX.length).replace("-", ":");
          return readStored(join(this.#folder, name), diffId);
        }),
    );
    return found.filter((layer) => layer !== undefined);
  }

  /** Paths of all files that are layers or were, older converters' and damaged ones too. */
  async files(): Promise<string[]> {
    const names = await readdir(this.#folder).catch(ifMissing<string[]>([]));
    return names.filter((name) => isEntry(name) && name.endsWith(".erofs")).map((name) => join(this.#folder, name));
  }

  /** Reads the whole of one of {@link files}; gives what is wrong with it, in words. */
  verify(path: string, options: VerifyOptions = {}): Promise<string | undefined> {
    return verifyImage(path, { ...options, mayLackChecksum: !path.endsWith(SUFFIX) });
  }

  /** Removes a layer, also as older converters wrote it; false when it was not there. Who has it open keeps it. */
  async remove(diffId: string): Promise<boolean> {
    const path = this.pathOf(diffId);
    await using _lock = await acquireLock(`${path}.lock`);
    const prefix = `${fileStem(diffId)}.`;
    const names = await readdir(this.#folder).catch(ifMissing<string[]>([]));
    const files = names.filter((name) => isEntry(name) && name.startsWith(prefix));
    for (const name of files) await rm(join(this.#folder, name), { force: true });
    return files.length > 0;
  }

  /** Where a layer is, or will be. */
  pathOf(diffId: string): string {
    return join(this.#folder, fileStem(diffId) + SUFFIX);
  }
}

function fileStem(diffId: string): string {
  const { algorithm, hex } = parseDigest(diffId);
  return `${algorithm}-${hex}`;
}

/** Looks at the first block only: it has a checksum, is written last, and says how long the file is. */
async function readStored(path: string, diffId: string): Promise<StoredLayer | undefined> {
  const file = await open(path, "r").catch(ifMissing<FileHandle | undefined>(undefined));
  if (!file) return undefined;
  try {
    const block = Buffer.alloc(BLOCK_SIZE);
    await file.read(block, 0, BLOCK_SIZE, 0);
    const superblock = readSuperblock(block);
    const { size } = await file.stat();
    if (superblock?.bytes !== size) return undefined;
    return { diffId, path, size, empty: superblock.volumeName === EMPTY_LAYER };
  } finally {
    await file.close();
  }
}

function ifMissing<T>(otherwise: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === "ENOENT") return otherwise;
    throw error;
  };
}
