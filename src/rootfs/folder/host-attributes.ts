import type { BigIntStats } from "node:fs";
import { getAttrSync, listAttrsSync } from "fs-native-extensions";
import { type Attributes, checkXattrs } from "../erofs/index.js";

const NANOSECONDS = 1_000_000_000n;
/** What belongs to a file wherever it is. The others are labels and marks of this machine, such as SELinux's and overlayfs's. */
const PORTABLE = new Set(["security.capability", "system.posix_acl_access", "system.posix_acl_default"]);
const UNSUPPORTED: readonly unknown[] = ["ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EPERM"];

/** What a file of this machine says of its inode. */
export function hostAttributes(stat: BigIntStats, xattrs?: ReadonlyMap<string, Buffer>): Attributes {
  // Before 1970 too, a fraction counts upwards.
  const nanoseconds = ((stat.mtimeNs % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  return {
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeSeconds: Number((stat.mtimeNs - nanoseconds) / NANOSECONDS),
    mtimeNanoseconds: Number(nanoseconds),
    xattrs,
  };
}

/** The extended attributes of an open file that mean the same elsewhere; `undefined` when it has none. */
export function hostXattrs(fd: number): ReadonlyMap<string, Buffer> | undefined {
  const names = listNames(fd).filter((name) => name.startsWith("user.") || PORTABLE.has(name));
  if (names.length === 0) return undefined;
  const xattrs = new Map<string, Buffer>();
  for (const name of names) {
    const value = getAttrSync(fd, name);
    if (value !== null) xattrs.set(name, Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  }
  checkXattrs(xattrs);
  return xattrs.size === 0 ? undefined : xattrs;
}

function listNames(fd: number): string[] {
  try {
    return listAttrsSync(fd);
  } catch (error) {
    if (error instanceof Error && "code" in error && UNSUPPORTED.includes(error.code)) return [];
    throw error;
  }
}
