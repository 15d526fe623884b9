import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { home } from "./home.js";
import { acquireLock } from "./lock.js";
import { isEntry, replace } from "./place.js";

/**
 * Notes that there is a snapshot in `folder`, which refers to layers and a template of this home: so they are not pruned as long as
 * it is there. The snapshots in the home's own folder are known anyhow.
 */
export async function rememberRoot(folder: string): Promise<void> {
  const { root, roots } = home();
  const path = resolve(folder);
  if (dirname(path) === join(root, "snapshots")) return;
  const name = createHash("sha256").update(path).digest("hex").slice(0, 32);
  const file = join(roots, name);
  await mkdir(roots, { recursive: true });
  await using _lock = await acquireLock(`${file}.lock`);
  await replace(file, (partial) => writeFile(partial, path));
}

/** The folders outside of the home that were noted and are still there. With `forget`, the others are forgotten. */
export async function listRoots(forget = false): Promise<string[]> {
  const { roots } = home();
  const names = await readdir(roots).catch(() => [] as string[]);
  const found: string[] = [];
  for (const name of names.filter(isEntry)) {
    const folder = await readFile(join(roots, name), "utf8");
    if (await stat(folder).catch(() => undefined)) found.push(folder);
    else if (forget) await rm(join(roots, name), { force: true });
  }
  return found;
}
