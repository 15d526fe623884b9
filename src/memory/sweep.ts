import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { tryAcquireLock } from "../store/index.js";

/** Removes the RAM copies whose owners have died. */
export async function sweepRam(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names.filter((each) => each.endsWith(".ram"))) {
    const path = join(folder, name);
    const lock = await tryAcquireLock(`${path}.lock`);
    if (!lock) continue;
    await rm(path, { force: true });
    await lock[Symbol.asyncDispose]();
  }
}
