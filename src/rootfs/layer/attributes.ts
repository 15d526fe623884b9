import { type Attributes, checkXattrs, isStorableXattr } from "../erofs/index.js";
import type { TarEntry } from "../tar/index.js";

/**
 * Attributes with which an image could steer the overlay that its layers are stacked in, for instance redirect a directory
 * to another one. Only this project's own marks may be there.
 */
const OVERLAY_PREFIXES = ["trusted.overlay.", "user.overlay."];

/** What an entry says of its inode. Attributes that Linux would not store are left out, as Docker does. */
export function attributesOf(entry: TarEntry): Attributes {
  return {
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtimeSeconds: entry.mtimeSeconds,
    mtimeNanoseconds: entry.mtimeNanoseconds,
    xattrs: entry.xattrs && acceptedXattrs(entry.xattrs, entry.type),
  };
}

function acceptedXattrs(
  xattrs: ReadonlyMap<string, Buffer>,
  type: TarEntry["type"],
): ReadonlyMap<string, Buffer> | undefined {
  const accepted = new Map([...xattrs].filter(([name]) => isAccepted(name, type)));
  checkXattrs(accepted);
  return accepted.size === 0 ? undefined : accepted;
}

function isAccepted(name: string, type: TarEntry["type"]): boolean {
  // Linux lets nobody read a user's attributes of anything else, see xattr(7).
  if (name.startsWith("user.") && type !== "file" && type !== "directory") return false;
  return isStorableXattr(name) && !steersOverlay(name);
}

function steersOverlay(name: string): boolean {
  return OVERLAY_PREFIXES.some((prefix) => name.startsWith(prefix));
}
