import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { AssetsError, BakeError, NoSpaceError, SupermachineError, VmError } from "../errors.js";

const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
/** A program that failed with less than this left, QEMU for one, failed for want of it: it seldom says so itself. */
const NOTHING_LEFT_BYTES = 256 * 1024;

/**
 * Runs what writes to `place`, and calls a failure for want of space what it is. What failed must not be removed before.
 * @throws NoSpaceError
 */
export async function explainingNoSpace<T>(place: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    if (cause instanceof NoSpaceError) throw cause;
    if (!saysFull(cause) && !(mayHideIt(cause) && (await isFull(place)))) throw cause;
    throw new NoSpaceError(`there is no space left for ${place}`, {
      cause,
      path: place,
      hint: "Free some space on that disk (`supermachine prune` removes what nothing uses), or set SUPERMACHINE_HOME to a folder on a larger one.",
    });
  }
}

/** Programs and guests fail in many ways; what is wrong with an image, a registry or an option has nothing to do with disks. */
function mayHideIt(error: unknown): boolean {
  if (!SupermachineError.is(error)) return !isAbort(error);
  return [VmError, BakeError, AssetsError].some((kind) => error instanceof kind);
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}

function saysFull(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    if ("code" in each && FULL.includes(String(each.code))) return true;
  }
  return false;
}

async function isFull(place: string): Promise<boolean> {
  const facts = await statfs(dirname(place)).catch(() => undefined);
  // Pseudo file systems have no blocks at all.
  return facts !== undefined && facts.blocks > 0 && facts.bavail * facts.bsize < NOTHING_LEFT_BYTES;
}
