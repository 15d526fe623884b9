import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { home, tryAcquireLock } from "../store/index.js";

const PARTIAL = /(?:\.old)?\.partial$/;
const LOCK = /\.lock$/;
/** What is there as long as its lock is held: RAM, device states and disks of VMs, disks of copies, layers packed for a push, packs of git. */
const SCRATCH = /\.(?:ram|state|disk|copy|gz|git-pack)$/;
/** Of the boot that tries an accelerator, by the process that does it. */
const PROBE = /^probe-(\d+)$/;

/** Paths that killed processes left behind: half-made things, copies of RAM, locks that nobody holds. */
export async function leftovers(): Promise<string[]> {
  const { assets, templates, layers, blobs, builds, snapshots, roots, run, root } = home();
  const kept = ["", "steps", "caches", "remote/downloads"].map((name) => join(builds, name));
  const documents = ["sha256", "sha512", "refs", "engine"].map((name) => join(blobs, name));
  const folders = [assets, templates, layers, ...documents, ...kept, join(root, "snapshots"), snapshots, roots];
  const found = [...new Set(folders)].map((folder) => abandoned(folder, PARTIAL, LOCK));
  const scratch = [run, join(blobs, "packed"), join(builds, "remote")].map((folder) =>
    abandoned(folder, SCRATCH, LOCK),
  );
  return (await Promise.all([...found, ...scratch, deadProbes(run)])).flat();
}

async function abandoned(folder: string, thing: RegExp, lock: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const found: string[] = [];
  for (const name of names) {
    if (thing.test(name)) {
      const owner = join(folder, PARTIAL.test(name) ? name.replace(PARTIAL, "") : name);
      if (await isFree(`${owner}.lock`)) found.push(join(folder, name));
    } else if (lock.test(name) && (await isFree(join(folder, name)))) found.push(join(folder, name));
  }
  return found;
}

/** Whether nobody holds a lock. Looking removes its file, as whoever held it last would have. */
async function isFree(path: string): Promise<boolean> {
  const lock = await tryAcquireLock(path);
  await lock?.[Symbol.asyncDispose]();
  return lock !== undefined;
}

async function deadProbes(run: string): Promise<string[]> {
  const names = await readdir(run).catch(() => [] as string[]);
  return names.filter((name) => isDead(Number(PROBE.exec(name)?.[1]))).map((name) => join(run, name));
}

function isDead(pid: number): boolean {
  if (!Number.isInteger(pid)) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    // EPERM: it lives, as somebody else's.
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
