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
 * @param journal whether what is written survives a crash; without one it takes 0.3 MB of a disk of any usual size
 * @throws AssetsError when mke2fs is not to be had
 */
export async function makeExt4(path: string, sizeMiB: number, journal: boolean, work: LongWork): Promise<void> {
  const mke2fs = await ensureMke2fs(work);
  await using file = (await open(path, "wx", 0o600)) as FileHandle & AsyncDisposable;
  await file.truncate(sizeMiB * MIB);
  // The guest's kernel takes what was never written for zeros, as it is in a sparse file.
  const extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0";
  // Whoever loses all in a crash has no use for checksums either: without them files are made a quarter quicker.
  const features = journal ? [] : ["-O", "^has_journal,^resize_inode,^metadata_csum"];
  const args = ["-q", "-F", "-t", "ext4", ...features, "-b", "4096", "-m", "0", "-E", extended, path];
  await runProgram(mke2fs, args, work.signal ? { cancelSignal: work.signal } : {}).catch((cause: unknown) => {
    work.signal?.throwIfAborted();
    throw new AssetsError(`${mke2fs} could not make a file system in ${path}`, { cause });
  });
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
