import { UsageError } from "../../errors.js";
import { ARCHIVE_END, BLANK_ENTRY, encodeEntry, padding, type TarEntry } from "../../rootfs/index.js";
import { toText } from "../tree/index.js";
import type { DraftAttributes, DraftDirectory, DraftLeaf, LayerDraft } from "./draft.js";

/** Says in a folder of an image's layer that nothing of the layers below is to be seen in it. */
const OPAQUE = ".wh..wh..opq";

/** The archive of a drafted layer. Names of one file stay names of one file. */
export async function* draftArchive(draft: LayerDraft): AsyncGenerator<Buffer> {
  yield encodeEntry(entry("./", "directory", draft.root.attributes));
  yield* entries(draft.root, "", new Map());
  yield ARCHIVE_END;
}

/**
 * The archive of a drafted layer, for an image.
 * @throws UsageError for a name that begins with `.wh.`, which in an image's layer takes another file away
 */
export function draftLayer(draft: LayerDraft): AsyncGenerator<Buffer> {
  requireLayerNames(draft.root, "/");
  return draftArchive(draft);
}

function requireLayerNames(directory: DraftDirectory, path: string): void {
  for (const [name, child] of directory.children) {
    if (name.startsWith(".wh.") && (child.type === "leaf" || isNeeded(child))) {
      throw new UsageError(`${toText(path + name)} cannot be in an image`, {
        hint: "Layers of images say with names that begin with .wh. what is removed. Give the file another name, or leave it out.",
      });
    }
    if (child.type !== "leaf") requireLayerNames(child, `${path}${name}/`);
  }
}

async function* entries(
  directory: DraftDirectory,
  prefix: string,
  firstNames: Map<string, string>,
): AsyncGenerator<Buffer> {
  const names = [...directory.children.keys()].sort();
  for (const name of names) {
    const child = directory.children.get(name);
    const path = prefix + name;
    if (child?.type === "leaf") yield* leaf(child, path, firstNames);
    else if (child && isNeeded(child)) {
      yield encodeEntry(entry(`${path}/`, "directory", child.attributes));
      if (child.isOpaque) yield encodeEntry(entry(`${path}/${OPAQUE}`, "file", child.attributes));
      yield* entries(child, `${path}/`, firstNames);
    }
  }
}

/** A folder that was only looked into is as it was below. */
function isNeeded(directory: DraftDirectory): boolean {
  if (directory.attributes !== directory.below) return true;
  return [...directory.children.values()].some((child) => child.type === "leaf" || isNeeded(child));
}

async function* leaf(
  { node, attributes, target, content }: DraftLeaf,
  path: string,
  firstNames: Map<string, string>,
): AsyncGenerator<Buffer> {
  // Sockets are of no use without their process, and tar has no letter for them.
  if (node.type === "socket") return;
  const first = node.identity === undefined ? undefined : firstNames.get(node.identity);
  if (first !== undefined) {
    yield encodeEntry({ ...entry(path, "hardlink", attributes), linkName: first, xattrs: undefined });
    return;
  }
  if (node.identity !== undefined) firstNames.set(node.identity, path);
  const { size, major, minor } = node;
  yield encodeEntry({ ...entry(path, node.type, attributes), linkName: target, size, major, minor });
  if (node.type !== "file") return;
  yield* content();
  yield padding(size);
}

function entry(name: string, type: TarEntry["type"], attributes: DraftAttributes): TarEntry {
  const { mode, uid, gid, mtimeSeconds } = attributes;
  const xattrs = attributes.xattrs && new Map(attributes.xattrs);
  return { ...BLANK_ENTRY, type, name, mode, uid, gid, mtimeSeconds, xattrs };
}
