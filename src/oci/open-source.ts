import { openArchive } from "./archive-tree.js";
import { openFolder } from "./folder-tree.js";
import { openTree } from "./open-tree.js";
import type { ImageOrigin } from "./origin.js";
import type { RegistryOptions } from "./registry/index.js";
import { formatImageSource, type ImageSource } from "./source.js";

/** How a source is opened. What is for registries means nothing to files and engines. */
export type SourceOptions = RegistryOptions;

/**
 * Opens the place that an image comes from. This is the one spot that knows which kinds of source can be read. What speaks
 * HTTP is loaded when it is needed: its library takes 60 ms, a tenth of what running an image from a file takes.
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
      return (await import("./registry/index.js")).openRegistry(source.reference, options);
    default:
      return (await import("./engine-image.js")).openEngineImage(source, name, signal);
  }
}
