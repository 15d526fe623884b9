import { lstat, stat } from "node:fs/promises";
import { basename, posix, resolve } from "node:path";
import { CopyError, GuestFileError } from "../../errors.js";
import type { CopyFigures } from "../../guest/index.js";
import { COPY_DISK, type Machine } from "../../machine/index.js";
import { CONTENT_NAME, type Exclude, writeFolderImage } from "../../rootfs/index.js";
import { explainingNoSpace, home, openScratch } from "../../store/index.js";
import { type CopiedThing, copyDestination, type Present } from "./destination.js";

/** How far a copy is: it is packed on the host, then unpacked in the guest. */
export interface CopyProgress extends CopyFigures {
  phase: "packing" | "unpacking";
}

/** How {@link Vm.copyIn} copies. */
export interface CopyInOptions {
  /** Copies what symbolic links lead to instead of the links. */
  followSymlinks?: boolean;
  /** Owner of everything, as in {@link ExecOptions.user}; by default the numbers that the files have here. */
  owner?: string;
  /** What is left out: patterns (`node_modules`, `*.log`, `/build/`), or a function of the path below the copied folder. */
  exclude?: Exclude;
  /** Makes the folders above the destination that are missing. */
  createParents?: boolean;
  onProgress?: (progress: CopyProgress) => void;
  signal?: AbortSignal;
}

/** Copies a file or a tree of this machine into a running guest, through a disk that it has for that while. */
export async function copyIn(
  machine: Machine,
  hostPath: string,
  guestPath: string,
  options: CopyInOptions,
): Promise<CopyFigures> {
  const { signal, owner, onProgress } = options;
  signal?.throwIfAborted();
  const thing = await lookAt(hostPath, options.followSymlinks ?? false);
  const path = await destinationOf(machine, thing, guestPath, options);
  const { run } = home();
  await using disk = await openScratch(run, COPY_DISK);
  const image = await explainingNoSpace(disk.path, () =>
    writeFolderImage(hostPath, disk.path, {
      followSymlinks: options.followSymlinks,
      exclude: options.exclude,
      signal,
      onProgress: onProgress && ((figures) => onProgress({ phase: "packing", ...figures })),
    }),
  );
  signal?.throwIfAborted();
  await using lent = await machine.lendDisk(disk.path);
  const source = thing.kind === "file" ? `/${CONTENT_NAME}` : "/";
  const request = { lun: lent.lun, source, path, owner, hasXattrs: image.hasXattrs };
  return await machine.agent.copyIn(request, {
    signal,
    onProgress: onProgress && ((figures) => onProgress({ phase: "unpacking", ...figures })),
  });
}

async function lookAt(path: string, follows: boolean): Promise<CopiedThing> {
  const isContents = /(^|\/)\.$/.test(path);
  try {
    const facts = await (follows || isContents || path.endsWith("/") ? stat : lstat)(path);
    if (facts.isDirectory()) return { kind: isContents ? "contents" : "folder", name: basename(resolve(path)) };
    if (isContents || path.endsWith("/")) throw new CopyError(`${path} is no folder`, { path });
    if (facts.isSocket()) throw new CopyError(`${path} is a socket, which cannot be copied`, { path });
    return { kind: "file", name: basename(path) };
  } catch (cause) {
    if (cause instanceof CopyError) throw cause;
    throw new CopyError(`${path} cannot be copied: ${(cause as Error).message}`, { cause, path });
  }
}

async function destinationOf(
  { agent }: Machine,
  thing: CopiedThing,
  guestPath: string,
  { createParents, owner, signal }: CopyInOptions,
): Promise<string> {
  let present = await presentAt(agent.files, guestPath, signal);
  const isNewFolder = present === "nothing" && thing.kind === "file" && guestPath.endsWith("/");
  if (createParents && present === "nothing") {
    const folder = isNewFolder ? guestPath : posix.dirname(guestPath);
    await agent.files.mkdir({ path: folder, parents: true, ...(owner && { user: owner }), signal });
    if (isNewFolder) present = "folder";
  }
  return copyDestination(thing, guestPath, present, (errno, message, hint) => {
    const details = { errno, path: guestPath, ...(hint !== undefined && { hint }) };
    return new GuestFileError(`Could not copy to ${guestPath} in the guest: ${message}`, details);
  });
}

async function presentAt(
  files: Machine["agent"]["files"],
  path: string,
  signal: AbortSignal | undefined,
): Promise<Present> {
  try {
    const { type } = await files.stat(path, { follow: true, signal });
    return type === "directory" ? "folder" : "file";
  } catch (error) {
    if (error instanceof GuestFileError && error.errno === "ENOENT") return "nothing";
    throw error;
  }
}
