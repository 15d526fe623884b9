import { ImageError, UsageError } from "../errors.js";
import { openArchive } from "./archive-tree.js";
import { DOCKER_SAVE_MANIFEST, openDockerSave } from "./docker-save.js";
import type { FileTree } from "./file-tree.js";
import { openFolder } from "./folder-tree.js";
import { INDEX, openLayout } from "./layout.js";
import type { ImageOrigin } from "./origin.js";
import { openRegistry, type RegistryOptions } from "./registry/index.js";
import { formatImageSource, type ImageSource, type LocalSource } from "./source.js";

/** How a source is opened. What is for registries means nothing to files. */
export type SourceOptions = RegistryOptions;

/**
 * Opens the place that an image comes from. This is the one spot that knows which kinds of source can be read.
 * @throws UsageError for a kind that cannot be read.
 */
export async function openSource(source: ImageSource, options: SourceOptions = {}): Promise<ImageOrigin> {
  const name = formatImageSource(source);
  const { signal } = options;
  switch (source.kind) {
    case "oci-layout":
      return openTree(await openFolder(source.path, name), source, signal);
    case "oci-archive":
      return openTree(await openArchive(source.path, name, signal), source, signal);
    case "registry":
      return openRegistry(source.reference, options);
    default:
      throw new UsageError(`${name} is in the docker engine, which this version cannot read`, {
        hint: "Save it with docker save, and read the file as oci-archive:FILE.",
      });
  }
}

/** What is both (docker writes such archives since version 25) is read as an OCI layout, which has every digest. */
async function openTree(tree: FileTree, source: LocalSource, signal: AbortSignal | undefined): Promise<ImageOrigin> {
  try {
    if ((await tree.size(INDEX)) !== undefined) return await openLayout(tree, source, signal);
    if ((await tree.size(DOCKER_SAVE_MANIFEST)) !== undefined) return await openDockerSave(tree, source, signal);
    throw new ImageError(`${tree.name} holds no image: it has neither ${INDEX} nor ${DOCKER_SAVE_MANIFEST}`, {
      hint: "An OCI layout, an archive of one, or an archive made by docker save is needed.",
    });
  } catch (error) {
    await tree[Symbol.asyncDispose]();
    throw error;
  }
}
