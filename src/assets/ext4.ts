import { type FileHandle, open } from "node:fs/promises";
import { AssetsError } from "../errors.js";
import type { LongWork } from "../progress.js";
import { aptInstall, canInstall } from "./packages.js";
import { findProgram } from "./qemu.js";
import { runProgram } from "./run-program.js";

const MIB = 2 ** 20;
/** Where e2fsprogs is for those who do not have it in PATH. */
const MKE2FS = [
  "mke2fs",
  "/sbin/mke2fs",
  "/usr/sbin/mke2fs",
  "/opt/homebrew/opt/e2fsprogs/sbin/mke2fs",
  "/usr/local/opt/e2fsprogs/sbin/mke2fs",
];

/**
 * Makes a sparse file with an empty ext4.
 * @param lasting whether what is written has to survive a crash
 * @throws AssetsError when mke2fs is not to be had
 */
export async function makeExt4(path: string, sizeMiB: number, lasting: boolean, work: LongWork): Promise<void> {
  const mke2fs = await ensureMke2fs(work);
  await using file = (await open(path, "wx", 0o600)) as FileHandle & AsyncDisposable;
  await file.truncate(sizeMiB * MIB);
  // The guest's kernel takes what was never written for zeros, as it is in a sparse file.
  const extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0";
  const features = lasting ? [] : fleetingFeatures(sizeMiB);
  const args = ["-q", "-F", "-t", "ext4", ...features, "-b", "4096", "-m", "0", "-E", extended, path];
  await runProgram(mke2fs, args, work.signal ? { cancelSignal: work.signal } : {}).catch((cause: unknown) => {
    work.signal?.throwIfAborted();
    throw new AssetsError(`${mke2fs} could not make a file system in ${path}`, { cause });
  });
}

/**
 * Nobody looks at it after a crash, so that checksums only take time: a quarter of what it takes to make files. A journal is there all
 * the same: without one ext4 gives no inode out for minutes that was deleted, and looks at all of these for each new file.
 */
function fleetingFeatures(sizeMiB: number): string[] {
  const journalMiB = Math.min(16, Math.max(4, Math.floor(sizeMiB / 64)));
  return ["-O", "^resize_inode,^metadata_csum,uninit_bg", "-J", `size=${journalMiB}`];
}

async function ensureMke2fs(work: LongWork): Promise<string> {
  const find = async (): Promise<string | undefined> => {
    for (const name of MKE2FS) {
      const found = await findProgram(name);
      if (found) return found;
    }
    return undefined;
  };
  const present = await find();
  if (present) return present;
  if (canInstall()) await aptInstall(["e2fsprogs"], work);
  const installed = await find();
  if (installed) return installed;
  const hint = process.platform === "darwin" ? "brew install e2fsprogs" : "your system's package e2fsprogs";
  throw new AssetsError("mke2fs, which makes the file systems of volumes and writable disks, is missing", {
    hint: `Install it: ${hint}.`,
  });
}
