import { posix } from "node:path";
import { ImageError } from "../errors.js";
import { normalizePath } from "./file-tree.js";
import { printable } from "./printable.js";
import { BLOCK_BYTES, isZeroBlock, parseHeader, parsePax, type TarHeader } from "./tar-header.js";

const MAX_ENTRIES = 200_000;
const MAX_EXTENSION_BYTES = 1024 * 1024;
const MAX_LINKS = 16;

/** Reads up to `length` bytes at `position`; fewer only at the end of the file. */
export type ReadAt = (position: number, length: number) => Promise<Buffer>;

/** Where the bytes of a file in an archive are. */
export interface ArchiveRange {
  offset: number;
  size: number;
}

type Entry = ({ kind: "file" } & ArchiveRange) | { kind: "link"; target: string | undefined } | { kind: "other" };

/** Finds a file by its name; symbolic and hard links are followed inside the archive. */
export type FindInArchive = (name: string) => ArchiveRange | undefined;

/**
 * Indexes a plain tar file of `fileSize` bytes by going from header to header, reading no content.
 * POSIX (pax), GNU and old headers are understood. Of two entries with one name the later one counts.
 * @throws ImageError when it is not a tar file, or ends in the middle of an entry.
 */
export async function indexArchive(readAt: ReadAt, fileSize: number, name: string): Promise<FindInArchive> {
  const entries = new Map<string, Entry>();
  const walk = { position: 0, count: 0, pending: new Map<string, string>() };
  for (;;) {
    const block = await readAt(walk.position, BLOCK_BYTES);
    const isEnd = block.length === 0 && walk.position > 0 && walk.pending.size === 0;
    if (isEnd) break;
    if (block.length < BLOCK_BYTES) throw truncated(name, walk.position, fileSize);
    if (isZeroBlock(block)) break;
    if (++walk.count > MAX_ENTRIES) throw new ImageError(`${name} has more than ${MAX_ENTRIES} entries`);
    const header = parseHeader(block);
    if (header === undefined) throw notTar(name, walk.position);
    await step(header, walk, { readAt, fileSize, name, entries });
  }
  return (wanted) => resolve(entries, wanted, name);
}

interface Walk {
  position: number;
  count: number;
  /** What extension headers say of the entry that follows them. */
  pending: Map<string, string>;
}

interface Archive {
  readAt: ReadAt;
  fileSize: number;
  name: string;
  entries: Map<string, Entry>;
}

async function step(header: TarHeader, walk: Walk, archive: Archive): Promise<void> {
  const isExtension = "LKxg".includes(header.type) && header.type !== "";
  const offset = walk.position + BLOCK_BYTES + (await sparseMapBytes(header, walk.position, archive));
  const size = isExtension ? header.size : sizeOf(header, walk.pending);
  const hasContent = isExtension || !"123456".includes(header.type);
  const end = offset + (hasContent ? size : 0);
  if (!Number.isSafeInteger(end)) throw notTar(archive.name, walk.position);
  if (end > archive.fileSize) throw truncated(archive.name, offset, archive.fileSize);
  if (isExtension) await extend(header, offset, walk.pending, archive);
  else {
    add(header, { offset, size }, walk.pending, archive.entries);
    walk.pending.clear();
  }
  walk.position = offset + Math.ceil((end - offset) / BLOCK_BYTES) * BLOCK_BYTES;
}

/** GNU's old sparse format continues its map in blocks between header and content. */
async function sparseMapBytes(header: TarHeader, position: number, archive: Archive): Promise<number> {
  let bytes = 0;
  let more = header.type === "S" && header.sparseMapContinues;
  while (more) {
    bytes += BLOCK_BYTES;
    const block = await archive.readAt(position + bytes, BLOCK_BYTES);
    if (block.length < BLOCK_BYTES) throw truncated(archive.name, position, archive.fileSize);
    more = block[504] === 1;
  }
  return bytes;
}

async function extend(
  header: TarHeader,
  offset: number,
  pending: Map<string, string>,
  archive: Archive,
): Promise<void> {
  if (header.type === "g") return;
  if (header.size > MAX_EXTENSION_BYTES)
    throw new ImageError(`${archive.name} has an extension header that is too long`);
  const content = await archive.readAt(offset, header.size);
  if (content.length < header.size) throw truncated(archive.name, offset, archive.fileSize);
  if (header.type === "L") pending.set("path", untilNul(content));
  else if (header.type === "K") pending.set("linkpath", untilNul(content));
  else {
    const records = parsePax(content);
    if (records === undefined) throw notTar(archive.name, offset);
    for (const [key, value] of records) pending.set(key, value);
  }
}

function untilNul(content: Buffer): string {
  const end = content.indexOf(0);
  return content.toString("utf8", 0, end < 0 ? content.length : end);
}

function sizeOf(header: TarHeader, pending: Map<string, string>): number {
  const size = pending.get("size");
  return size === undefined ? header.size : /^\d{1,15}$/.test(size) ? Number(size) : Number.NaN;
}

function add(header: TarHeader, range: ArchiveRange, pending: Map<string, string>, entries: Map<string, Entry>): void {
  const written = pending.get("GNU.sparse.name") ?? pending.get("path") ?? header.name;
  // Names that climb out are never asked for, so they are left out.
  const path = normalizePath(written.replace(/^\/+/, ""));
  if (path === undefined || path === "") return;
  const target = pending.get("linkpath") ?? header.linkName;
  const isSparse = header.type === "S" || [...pending.keys()].some((key) => key.startsWith("GNU.sparse."));
  if (isSparse) entries.set(path, { kind: "other" });
  else if (["0", "\0", "7"].includes(header.type)) entries.set(path, { kind: "file", ...range });
  else if (header.type === "1") entries.set(path, { kind: "link", target: normalizePath(target.replace(/^\/+/, "")) });
  else if (header.type === "2") entries.set(path, { kind: "link", target: besides(path, target) });
  else entries.set(path, { kind: "other" });
}

function besides(path: string, target: string): string | undefined {
  return target.startsWith("/") ? undefined : normalizePath(`${posix.dirname(path)}/${target}`);
}

function resolve(entries: Map<string, Entry>, wanted: string, name: string): ArchiveRange | undefined {
  let path = normalizePath(wanted);
  const shown = `${printable(wanted)} in ${name}`;
  for (let links = 0; links <= MAX_LINKS && path !== undefined; links++) {
    const entry = entries.get(path);
    if (entry === undefined) {
      if (links === 0) return undefined;
      throw new ImageError(`${shown} is a link to ${printable(path)}, which is not in the archive`);
    }
    if (entry.kind === "file") return { offset: entry.offset, size: entry.size };
    if (entry.kind === "other") {
      const hint = "If the archive was made with tar --sparse, make it without.";
      throw new ImageError(`${shown} is not a regular file`, { hint });
    }
    path = entry.target;
    if (path === undefined) throw new ImageError(`${shown} is a link that leads out of the archive`);
  }
  if (path === undefined) return undefined;
  throw new ImageError(`${shown} is a link that leads in a circle`);
}

function truncated(name: string, position: number, fileSize: number): ImageError {
  return new ImageError(
    `${name} is truncated: the entry at byte ${position} goes beyond the file's ${fileSize} bytes`,
    {
      hint: "Copy or make the archive again.",
    },
  );
}

function notTar(name: string, position: number): ImageError {
  const what = position === 0 ? "is not a tar archive" : `is not a valid tar archive: bad header at byte ${position}`;
  return new ImageError(`${name} ${what}`);
}
