import { constants, copyFile, link, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.js";
import { produceOnce, rememberRoot } from "../store/index.js";
import { findSnapshot, leaseFor, snapshotsFolder } from "./bake-once.js";
import { readMetadata, writeMetadata } from "./metadata.js";
import { checkName, namedFolder, nameOfFolder } from "./name.js";
import type { BakeOptions } from "./options.js";
import { snapshotFiles } from "./root-disk-file.js";

/** Where a file cannot have a second name. */
const NO_LINKS = new Set(["EXDEV", "EPERM", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/**
 * Gives an image one more name, without a bake: both share the files of its snapshot. A name that another image has had goes over to this one.
 * @param name of its snapshot
 * @returns the new name in the form that it is listed by
 * @throws ImageNotFoundError; UsageError for a wrong name, or one of a VM's state, which would be lost
 */
export async function tagImage(
  name: string,
  newName: string,
  options: Pick<BakeOptions, "snapshotsDir" | "signal"> = {},
): Promise<string> {
  const store = snapshotsFolder(options);
  const [from, to] = [namedFolder(checkName(name), store), namedFolder(checkName(newName), store)];
  const there = from === to ? undefined : await readMetadata(to).catch(() => undefined);
  if (there?.captured) {
    throw new UsageError(`${there.name} is the state of a VM that ran, which could not be made again`, {
      hint: "Take another name, or remove that snapshot first with `supermachine rmi`.",
    });
  }
  return nameOfFolder(await tagSnapshot(from, newName, options));
}

/**
 * Gives the snapshot in `folder` one more name, without a bake. Its files, which nobody ever changes, are shared where the file system can do that.
 * @returns the folder of that name
 * @throws ImageNotFoundError, CacheInvalidError, NoSpaceError
 */
export async function tagSnapshot(
  folder: string,
  name: string,
  options: Pick<BakeOptions, "snapshotsDir" | "signal">,
): Promise<string> {
  const metadata = await readMetadata(folder);
  const own = checkName(name);
  const place = namedFolder(own, snapshotsFolder(options));
  const layers = metadata.layers.map(({ path }) => path);
  await using _lease = await leaseFor(layers, options.signal);
  await rememberRoot(place);
  await produceOnce(place, {
    find: () => findSnapshot(place, metadata.key),
    make: async (partial) => {
      await mkdir(partial, { recursive: true });
      for (const file of snapshotFiles(metadata)) await share(join(folder, file), join(partial, file));
      const { schema: _, ...about } = metadata;
      await writeMetadata(partial, { ...about, name: own });
    },
    ...(options.signal && { signal: options.signal }),
  });
  return place;
}

async function share(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}
