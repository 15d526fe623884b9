import { openArchive } from "./archive-tree.js";
import { openEngineImage } from "./engine-image.js";
import { openFolder } from "./folder-tree.js";
import { openTree } from "./open-tree.js";
import type { ImageOrigin } from "./origin.js";
import { openRegistry, type RegistryOptions } from "./registry/index.js";
import { formatImageSource, type ImageSource } from "./source.js";

/** How a source is opened. What is for registries means nothing to files and engines. */
export type SourceOptions = RegistryOptions;

/** Opens the place that an image comes from. This is the one spot that knows which kinds of source can be read. */
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
      return openEngineImage(source, name, signal);
  }
}
