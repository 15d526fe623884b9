import { rm } from "node:fs/promises";
import type { LongWork } from "../progress.js";
import { acquireLock } from "../store/index.js";
import { type Check, documentChecks, layerChecks, snapshotChecks, tagChecks, templateChecks } from "./checks.js";

/** Something in the stores that is wrong. */
export interface StoreProblem {
  kind: "layer" | "template" | "document" | "tag" | "snapshot";
  path: string;
  /** For people: a digest, a name. */
  item: string;
  problem: string;
  /** What to do about it. */
  advice: string;
  /** It was removed. */
  fixed: boolean;
}

/** What {@link verifyStore} found. */
export interface StoreDiagnosis {
  problems: StoreProblem[];
  /** How many of each were looked at. */
  checked: { layers: number; templates: number; documents: number; tags: number; snapshots: number };
}

/** How {@link verifyStore} works. */
export interface VerifyStoreOptions extends LongWork {
  /** Removes what is damaged, if it is made anew when it is needed or is of no use to anybody. */
  fix?: boolean | undefined;
}

/**
 * Reads everything in the stores and compares it with its checksums: layers, templates (of their RAM only size and time),
 * documents, and snapshots with all that they refer to. Other processes may bake, pull and prune meanwhile.
 */
export async function verifyStore(options: VerifyStoreOptions = {}): Promise<StoreDiagnosis> {
  const problems: StoreProblem[] = [];
  const verify = async (checks: readonly Check[]): Promise<number> => {
    for (const check of checks) {
      const found = await problemOf(check, options);
      if (found) problems.push(found);
    }
    return checks.length;
  };
  const checked = {
    layers: await verify(await layerChecks()),
    templates: await verify(await templateChecks()),
    documents: await verify(await documentChecks()),
    tags: await verify(await tagChecks()),
    // They refer to all of the others, of which some may have been removed now.
    snapshots: await verify(await snapshotChecks()),
  };
  return { problems, checked };
}

/** Under the lock of whoever makes or removes it, so that nothing is seen in part and only what was seen is removed. */
async function problemOf(check: Check, work: VerifyStoreOptions): Promise<StoreProblem | undefined> {
  const { kind, path, item } = check;
  await using _lock = await acquireLock(`${path}.lock`, work.signal);
  const found = await check.find(work);
  if (!found) return undefined;
  const { problem, advice, removable } = found;
  const fixed = (work.fix ?? false) && removable;
  if (fixed) await rm(path, { recursive: true, force: true });
  return { kind, path, item, problem, advice, fixed };
}
