import { rename, rm } from "node:fs/promises";
import { tryAcquireLock } from "../store/index.js";
import type { Unused } from "./unused.js";

/**
 * Puts something into `trash`, under a name that sweeping removes should this process die. Half-made things have such a name, and
 * are removed at once, for somebody may make them anew.
 * @returns false when somebody is at it just now
 */
export async function takeAway({ kind, path }: Unused, trash: string[]): Promise<boolean> {
  const owner = kind === "leftover" ? path.replace(/(?:\.old)?\.partial$|\.lock$/, "") : path;
  const lock = await tryAcquireLock(`${owner}.lock`);
  if (!lock) return false;
  try {
    if (kind === "leftover") {
      await rm(path, { recursive: true, force: true });
    } else {
      const aside = `${path}.old.partial`;
      await rm(aside, { recursive: true, force: true });
      await rename(path, aside);
      trash.push(aside);
    }
    return true;
  } finally {
    await lock[Symbol.asyncDispose]();
  }
}
