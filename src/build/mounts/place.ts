import { UsageError } from "../../errors.js";
import { type LayerTree, resolveIn, toBytes, toText } from "../tree/index.js";

/** Where in an image something is mounted. */
export interface Place {
  /** Absolute, the image's links followed. */
  path: string;
  /** The folders on the way that the image does not have, and the last part too if it is missing; deeper ones later. */
  missing: string[];
}

/**
 * Finds where a target of a mount is in an image.
 * @param what a folder or a file is mounted
 * @throws UsageError when the image has something else there
 */
export async function findPlace(image: LayerTree, target: string, what: "folder" | "file"): Promise<Place> {
  const names = toBytes(target)
    .split("/")
    .filter((name) => name !== "");
  for (let count = names.length; count >= 0; count--) {
    const found = await resolveIn(image, names.slice(0, count).join("/"));
    if (!found) continue;
    const rest = names.slice(count);
    const isFolder = found.node.type === "directory";
    if (isFolder !== (rest.length > 0 || what === "folder")) {
      throw new UsageError(`a ${what} cannot be mounted at ${target}: the image has something else there`);
    }
    const path = [...found.names, ...rest];
    const missing = rest.map((_, index) => absolute(path.slice(0, found.names.length + index + 1)));
    return { path: absolute(path), missing };
  }
  throw new UsageError(`there is no place for a mount at ${target}`);
}

function absolute(names: readonly string[]): string {
  return `/${toText(names.join("/"))}`;
}
