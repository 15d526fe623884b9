import { createHash } from "node:crypto";
import { ImageError } from "../../errors.js";
import { ErofsReader, type Inode } from "../erofs/index.js";
import { ARCHIVE_END, BLANK_ENTRY, encodeEntry, padding, type TarEntry } from "../tar/index.js";
import { isOpaque, isWhiteout, OPAQUE_NAME, WHITEOUT_PREFIX } from "./whiteout.js";

/** No path that Linux takes has more names. */
const MAX_DEPTH = 2048;

/**
 * A stored layer as an archive again: entries in the order of their names, one form of header for each, times in whole seconds. So
 * every image with the same files gives the same bytes, and the digest of them can stand for it.
 * @param latest seconds since 1970: what was written later is said to be of that time
 */
export async function* layerArchive(path: string, latest = Number.POSITIVE_INFINITY): AsyncGenerator<Buffer> {
  using reader = new ErofsReader(path);
  const writing: Writing = { reader, latest, firstNames: new Map() };
  yield encodeEntry(entryOf("./", reader.root, latest));
  yield* directoryEntries(writing, reader.root, "", 0);
  yield ARCHIVE_END;
}

/** An archive that is being written, and the first name of each file that has several. */
interface Writing {
  reader: ErofsReader;
  latest: number;
  firstNames: Map<number, string>;
}

/** The digest of {@link layerArchive}. */
export async function archiveDigest(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of layerArchive(path)) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}

async function* directoryEntries(
  writing: Writing,
  directory: Inode,
  prefix: string,
  depth: number,
): AsyncGenerator<Buffer> {
  const { reader, latest } = writing;
  if (depth > MAX_DEPTH) throw new ImageError(`The layer's image ${reader.path} is damaged: its folders never end`);
  if (isOpaque(directory)) yield encodeEntry(emptyFile(prefix + OPAQUE_NAME));
  for (const [name, { nid }] of reader.list(directory)) {
    const inode = reader.inode(nid);
    const path = prefix + name;
    if (isWhiteout(inode)) {
      yield encodeEntry(emptyFile(prefix + WHITEOUT_PREFIX + name));
    } else if (inode.type === "directory") {
      yield encodeEntry(entryOf(`${path}/`, inode, latest));
      yield* directoryEntries(writing, inode, `${path}/`, depth + 1);
    } else {
      yield* leafEntry(writing, inode, path);
    }
  }
}

async function* leafEntry({ reader, latest, firstNames }: Writing, inode: Inode, path: string): AsyncGenerator<Buffer> {
  const first = inode.links > 1 ? firstNames.get(inode.nid) : undefined;
  if (first !== undefined) {
    yield encodeEntry({
      ...entryOf(path, inode, latest),
      type: "hardlink",
      linkName: first,
      size: 0,
      xattrs: undefined,
    });
    return;
  }
  if (inode.links > 1) firstNames.set(inode.nid, path);
  const linkName = inode.type === "symlink" ? reader.target(inode) : "";
  yield encodeEntry({ ...entryOf(path, inode, latest), linkName });
  if (inode.type !== "file") return;
  yield* reader.content(inode);
  yield padding(inode.size);
}

function entryOf(name: string, { type, attributes, size, major, minor }: Inode, latest: number): TarEntry {
  const { mode, uid, gid, mtimeSeconds, xattrs } = attributes;
  const own = new Map([...(xattrs ?? [])].filter(([key]) => !key.startsWith("trusted.overlay.")));
  return {
    ...BLANK_ENTRY,
    ...{ type, name, mode, uid, gid, major, minor },
    size: type === "file" ? size : 0,
    mtimeSeconds: Math.min(mtimeSeconds, latest),
    xattrs: own.size === 0 ? undefined : own,
  };
}

function emptyFile(name: string): TarEntry {
  return { ...BLANK_ENTRY, name };
}
