import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, open, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, join, posix, resolve } from "node:path";
import type { Readable } from "node:stream";
import { CopyError, GuestFileError, ImageError, NoSpaceError, VmError } from "../../errors.js";
import { COPY_DISK, type Machine } from "../../machine/index.js";
import { TarReader } from "../../rootfs/index.js";
import {
  explainingNoSpace,
  type HalfMade,
  home,
  openScratch,
  type Scratch,
  sweepHalfMade,
  trackHalfMade,
} from "../../store/index.js";
import type { CopyProgress } from "./copy-in.js";
import { type CopiedThing, copyDestination, type Present } from "./destination.js";
import { BESIDE, type Extracted, type ExtractOptions, Extractor } from "./extractor.js";

/** What the archive calls a thing that is no folder. */
const CONTENT_NAME = "content";
/** Small enough that making the files of one piece keeps nothing else in this process from its turn for long. */
const PIECE = 128 * 1024;
/** Of what is free on the disk of the home folder, an archive may take so much unless `maxBytes` says otherwise. */
const PART_OF_FREE = 0.9;
const SECTOR = 512;
/** What ext4 can have in one file; the guest sees a disk of at most this size. */
const MOST_BYTES = 2 ** 43;

/** How {@link Vm.copyOut} copies. */
export interface CopyOutOptions extends ExtractOptions {
  /** Copies what the path leads to if it is a symbolic link; links below it are copied as such. */
  followSymlinks?: boolean;
  /** Makes the folders above the destination that are missing. */
  createParents?: boolean;
  /** Leaves out what is mounted below the path; folders that it is mounted upon are there, and empty. */
  oneFileSystem?: boolean;
  /** The most that the guest may write for it, in bytes; by default nine tenths of what is free on the disk of the home folder. */
  maxBytes?: number;
  onProgress?: (progress: CopyProgress) => void;
  signal?: AbortSignal;
}

/** Copies a file or a tree out of a running guest, which writes an archive onto a disk that it has for that while. */
export async function copyOut(
  machine: Machine,
  guestPath: string,
  hostPath: string,
  options: CopyOutOptions,
): Promise<Extracted> {
  const { signal } = options;
  signal?.throwIfAborted();
  const thing = await lookAt(machine, guestPath, options);
  if (options.createParents)
    await mkdir(hostPath.endsWith("/") ? hostPath : dirname(resolve(hostPath)), { recursive: true });
  await sweepHalfMade();
  const place = resolve(destinationOf(thing, hostPath, await presentAt(hostPath)));
  await using archive = await archiveOf(machine, guestPath, thing.kind === "file" ? CONTENT_NAME : ".", options);
  return await explainingNoSpace(place, () => extractTo(place, thing, archive, options));
}

/** The same as a tar archive, in which it has its own name (`.` for what is in a folder). The guest wrote it: unpack it with care. */
export async function copyOutArchive(
  machine: Machine,
  guestPath: string,
  options: Omit<CopyOutOptions, keyof ExtractOptions | "createParents">,
): Promise<Readable> {
  const thing = await lookAt(machine, guestPath, options);
  const archive = await archiveOf(machine, guestPath, thing.kind === "contents" ? "." : thing.name, options);
  const stream = createReadStream(archive.path, { end: archive.length - 1 });
  stream.once("close", () => void archive[Symbol.asyncDispose]());
  return stream;
}

/** An archive that a guest wrote into a scratch file. */
type Archive = Scratch & { length: number };

async function archiveOf(
  machine: Machine,
  guestPath: string,
  name: string,
  { followSymlinks, oneFileSystem, maxBytes, onProgress, signal }: CopyOutOptions,
): Promise<Archive> {
  const { run } = home();
  const disk = await openScratch(run, COPY_DISK);
  try {
    const limit = await makeDisk(disk.path, maxBytes);
    await using lent = await machine.lendDisk(disk.path, { writable: true });
    const follows = (followSymlinks ?? false) || /\/\.?$/.test(guestPath);
    const request = { lun: lent.lun, path: trimmed(guestPath), name, follows, oneFileSystem };
    const { length } = await machine.agent.copyOut(request, {
      signal,
      onProgress: onProgress && ((figures) => onProgress({ phase: "packing", ...figures })),
    });
    if (length > limit) throw new VmError(`the guest says that it wrote ${length} bytes onto a disk of ${limit}`);
    return Object.assign(disk, { length });
  } catch (error) {
    await disk[Symbol.asyncDispose]();
    if (!(error instanceof GuestFileError) || error.errno !== "ENOSPC") throw error;
    throw new NoSpaceError(`${guestPath} in the guest is larger than what may be copied out of it`, {
      cause: error,
      path: disk.path,
      hint: "Allow more with maxBytes, or free some space on the disk of SUPERMACHINE_HOME.",
    });
  }
}

/** A sparse file of the largest size that the archive may have. */
async function makeDisk(path: string, maxBytes: number | undefined): Promise<number> {
  const file = await open(path, "wx", 0o600);
  try {
    const { bavail, bsize } = await statfs(path);
    const wanted = Math.min(maxBytes ?? bavail * bsize * PART_OF_FREE, MOST_BYTES);
    const limit = Math.max(SECTOR * 8, Math.floor(wanted / SECTOR) * SECTOR);
    await file.truncate(limit);
    return limit;
  } finally {
    await file.close();
  }
}

/** What is new is made beside its place, so that it is there as a whole or not at all. */
async function extractTo(
  place: string,
  thing: CopiedThing,
  archive: Archive,
  options: CopyOutOptions,
): Promise<Extracted> {
  await using halfMade = await trackHalfMade();
  const isMerged = thing.kind !== "file" && (await presentAt(place)) === "folder";
  if (isMerged) return await extractInto({ folder: place, place, isNew: false }, archive, options, halfMade);
  const beside = join(dirname(place), `${BESIDE}${randomUUID()}`);
  halfMade.at(beside);
  await mkdir(beside, { mode: 0o700 }).catch((cause: Error) => {
    throw new CopyError(`${place} cannot be made: ${cause.message}`, { cause, path: place });
  });
  try {
    const extracted = await extractInto({ folder: beside, place, isNew: thing.kind !== "file" }, archive, options);
    const made = thing.kind === "file" ? join(beside, CONTENT_NAME) : beside;
    // What was left out of the archive, such as a device, is not there either.
    if (extracted.files > 0 || thing.kind !== "file") await rename(made, place);
    return extracted;
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

/** A folder that is filled, and the place that is meant by it. */
interface Target {
  folder: string;
  place: string;
  isNew: boolean;
}

async function extractInto(
  { folder, place, isNew }: Target,
  archive: Archive,
  options: CopyOutOptions,
  halfMade?: HalfMade,
): Promise<Extracted> {
  const { signal, onProgress } = options;
  using extractor = new Extractor(folder, isNew, options, halfMade);
  const reader = new TarReader(extractor);
  const file = await open(archive.path, "r");
  try {
    const buffer = Buffer.allocUnsafeSlow(PIECE);
    for (let position = 0; position < archive.length; ) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, Math.min(PIECE, archive.length - position), position);
      if (bytesRead === 0) throw new VmError("the archive of the copy was cut off");
      reader.write(buffer.subarray(0, bytesRead));
      position += bytesRead;
      const { files, bytes } = extractor.result;
      onProgress?.({ phase: "unpacking", files, bytes });
    }
    reader.end();
    extractor.finish();
    return extractor.result;
  } catch (error) {
    throw explained(error, place);
  } finally {
    await file.close();
  }
}

function explained(cause: unknown, path: string): unknown {
  if (cause instanceof ImageError) {
    return new CopyError(`what the guest wrote cannot be copied: ${cause.message}`, { cause, path });
  }
  const isOfHost = cause instanceof Error && "syscall" in cause && (cause as NodeJS.ErrnoException).code !== "ENOSPC";
  return isOfHost ? new CopyError(`${path} cannot be written: ${cause.message}`, { cause, path }) : cause;
}

async function lookAt(
  { agent }: Machine,
  path: string,
  { followSymlinks, signal }: CopyOutOptions,
): Promise<CopiedThing> {
  const isContents = /\/\.$/.test(path) || trimmed(path) === "/";
  const follow = (followSymlinks ?? false) || isContents || path.endsWith("/");
  const { type } = await agent.files.stat(trimmed(path), { follow, signal });
  const isFolder = type === "directory";
  if (!isFolder && (isContents || path.endsWith("/"))) {
    throw new GuestFileError(`${path} in the guest is no folder`, { errno: "ENOTDIR", path });
  }
  return { kind: isFolder ? (isContents ? "contents" : "folder") : "file", name: posix.basename(trimmed(path)) };
}

function trimmed(path: string): string {
  return posix.normalize(path).replace(/(.)\/$/, "$1");
}

function destinationOf(thing: CopiedThing, hostPath: string, present: Present): string {
  return copyDestination(thing, hostPath, present, (_errno, message, hint) => {
    return new CopyError(message, { path: hostPath, ...(hint !== undefined && { hint }) });
  });
}

async function presentAt(path: string): Promise<Present> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "ENOENT")
      throw new CopyError(`${path} cannot be looked at: ${(cause as Error).message}`, { cause, path });
    // A link that leads nowhere is replaced itself.
    return (await lstat(path).catch(() => undefined)) ? "file" : "nothing";
  }
}
