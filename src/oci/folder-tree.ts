import { constants } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { ImageError, ImageNotFoundError } from "../errors.js";
import { type FileTree, normalizePath } from "./file-tree.js";
import { printable } from "./printable.js";
import { readRange } from "./read-range.js";

/** Opens a folder. Symbolic links in it are followed as long as they stay inside; others are refused. */
export async function openFolder(path: string, name: string): Promise<FileTree> {
  const root = await realFolder(path, name);
  return {
    name,
    async size(file) {
      const handle = await openInside(root, file, name);
      if (handle === undefined) return undefined;
      await using _closing = handle;
      return (await handle.stat()).size;
    },
    async open(file, signal, length = Number.POSITIVE_INFINITY) {
      signal?.throwIfAborted();
      const handle = await openInside(root, file, name);
      if (handle === undefined) throw new ImageNotFoundError(`${name} has no file ${file}`);
      const { size } = await handle.stat();
      return readRange(
        handle,
        { offset: 0, size: Math.min(size, length), name: `${file} in ${name}` },
        { signal, close: true },
      );
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function realFolder(path: string, name: string): Promise<string> {
  const found = await stat(path).catch((error) => ignoreMissing(error, path));
  if (found === undefined) throw new ImageNotFoundError(`${name}: there is no folder ${path}`);
  if (found.isDirectory()) return realpath(path);
  throw new ImageError(`${name}: ${path} is not a folder`, { hint: `If it is a tar file, write oci-archive:${path}` });
}

/** Opens a regular file below `root`; `undefined` when it does not exist. */
async function openInside(root: string, file: string, name: string): Promise<FileHandle | undefined> {
  const normal = normalizePath(file);
  const shown = `${printable(file)} in ${name}`;
  if (normal === undefined) throw new ImageError(`${shown} is not the name of a file inside`);
  const real = await realpath(join(root, normal)).catch((error) => ignoreMissing(error, shown));
  if (real === undefined) return undefined;
  if (!real.startsWith(root.endsWith(sep) ? root : root + sep)) {
    throw new ImageError(`${shown} is a symbolic link that leads out of the folder`, {
      hint: "Copy the folder with its links resolved (cp -rL) and use the copy.",
    });
  }
  // Non-blocking, because opening a FIFO would wait for a writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(real, flags).catch((error) => ignoreMissing(error, shown));
  if (handle === undefined || (await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new ImageError(`${shown} is not a regular file`);
}

function ignoreMissing(error: NodeJS.ErrnoException, shown: string): undefined {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
  throw new ImageError(`${shown} cannot be read: ${error.code}`, { cause: error });
}
