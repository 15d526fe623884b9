import { posix } from "node:path";
import { UsageError } from "../errors.js";

/** A path of the guest, from its root; a relative one starts at `workdir`. @throws UsageError */
export function guestPath(workdir: string, path: string): string {
  if (path === "" || path.includes("\0")) throw new UsageError(`${JSON.stringify(path)} is no path of a file`);
  return posix.resolve(workdir, path);
}

/** The same for a copy, for which what follows the last slash counts. @throws UsageError */
export function copyPath(workdir: string, path: string): string {
  const [end = ""] = /\/\.?$/.exec(path) ?? [];
  return `${guestPath(workdir, path).replace(/\/$/, "")}${end}` || "/";
}
