import { CopyError, GuestFileError, ImageError } from "../../errors.js";
import type { CopyFigures } from "../../guest/index.js";
import { COPY_DISK, type Machine } from "../../machine/index.js";
import { writeArchiveImage } from "../../rootfs/index.js";
import { explainingNoSpace, home, openScratch } from "../../store/index.js";
import type { CopyInOptions } from "./copy-in.js";

/** Copies what is in a tar archive into a folder of a running guest. */
export async function copyInArchive(
  machine: Machine,
  archive: AsyncIterable<Uint8Array>,
  guestPath: string,
  { owner, onProgress, signal }: Pick<CopyInOptions, "owner" | "onProgress" | "signal">,
): Promise<CopyFigures> {
  signal?.throwIfAborted();
  const { type } = await machine.agent.files.stat(guestPath, { follow: true, signal });
  if (type !== "directory") {
    throw new GuestFileError(`${guestPath} in the guest is no folder`, { errno: "ENOTDIR", path: guestPath });
  }
  const { run } = home();
  await using disk = await openScratch(run, COPY_DISK);
  await explainingNoSpace(disk.path, () => writeArchiveImage(archive, disk.path, signal)).catch((cause: unknown) => {
    if (!(cause instanceof ImageError)) throw cause;
    throw new CopyError(`what was to be copied to ${guestPath} is no tar archive: ${cause.message}`, {
      cause,
      path: "-",
    });
  });
  await using lent = await machine.lendDisk(disk.path);
  return await machine.agent.copyIn(
    { lun: lent.lun, path: guestPath, owner, hasXattrs: true },
    { signal, onProgress: onProgress && ((figures) => onProgress({ phase: "unpacking", ...figures })) },
  );
}
