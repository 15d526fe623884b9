import { ImageError } from "../errors.js";
import { DOCKER_SAVE_MANIFEST, openDockerSave } from "./docker-save.js";
import type { FileTree } from "./file-tree.js";
import { INDEX, openLayout } from "./layout.js";
import type { ImageOrigin } from "./origin.js";
import type { LocalSource } from "./source.js";

/**
 * Opens the image in a layout or an archive, which is closed when that fails. What is both a layout and an archive of docker
 * (docker writes such since version 25) is read as a layout, which has every digest.
 */
export async function openTree(
  tree: FileTree,
  source: LocalSource,
  signal: AbortSignal | undefined,
): Promise<ImageOrigin> {
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
