import { closeSync, constants, lstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { Malformed } from "../../rootfs/index.js";

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/**
 * A folder of this machine below which a guest's names are made. Each folder on the way is held by a descriptor that was opened from its
 * parent's without following a link, so that a name leads nowhere else, also when somebody exchanges folders for links meanwhile. Elsewhere
 * than on Linux, where there is no path of a descriptor, each is looked at before its use.
 */
export class Place implements Disposable {
  readonly #root: Folder;
  /** The one of the last entry, for most have the same one as the entry before. */
  #last: { key: string; folder: Folder } | undefined;

  constructor(root: Buffer) {
    this.#root = openFolder(root.toString("latin1"), O_RDONLY | O_DIRECTORY);
  }

  /** Where a name of the archive is: its parts, without "." and with none that leads upwards. */
  parts(name: string): string[] {
    if (name.startsWith("/")) throw new Malformed("its name is absolute");
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) throw new Malformed("its name leads upwards");
    if (parts.some((part) => part.length > 255)) throw new Malformed("its name has a part of more than 255 bytes");
    return parts;
  }

  /** A path that names an entry, by its parts, without the need to follow anything; of the top itself without parts. */
  path(parts: readonly string[]): Buffer {
    const name = parts.at(-1);
    const folder = this.#folder(parts.slice(0, -1));
    return Buffer.from(name === undefined ? folder.path : join(folder.path, name), "latin1");
  }

  [Symbol.dispose](): void {
    this.#forget();
    closeSync(this.#root.fd);
  }

  #folder(parts: readonly string[]): Folder {
    if (parts.length === 0) return this.#root;
    const key = parts.join("/");
    if (this.#last?.key === key) return this.#last.folder;
    this.#forget();
    let folder = this.#root;
    for (const part of parts) {
      const next = openFolder(join(folder.path, part), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (folder !== this.#root) closeSync(folder.fd);
      folder = next;
    }
    this.#last = { key, folder };
    return folder;
  }

  #forget(): void {
    if (this.#last) closeSync(this.#last.folder.fd);
    this.#last = undefined;
  }
}

interface Folder {
  fd: number;
  /** One character per byte, as the names in the archive. */
  path: string;
}

function openFolder(path: string, flags: number): Folder {
  const bytes = Buffer.from(path, "latin1");
  const fd = openSync(bytes, flags);
  if (process.platform === "linux") return { fd, path: `/proc/self/fd/${fd}` };
  if (flags & O_NOFOLLOW && !lstatSync(bytes).isDirectory()) {
    closeSync(fd);
    throw new Malformed("its path leads through what is no folder");
  }
  return { fd, path };
}
