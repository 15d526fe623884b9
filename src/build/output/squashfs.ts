import { Readable } from "node:stream";
import { AssetsError } from "../../errors.js";

/** Programs that make a squashfs image of a tar archive: of squashfs-tools 4.5 and newer, and of squashfs-tools-ng. */
const PROGRAMS = [
  { name: "sqfstar", flags: (time: number) => ["-quiet", "-no-progress", "-exit-on-error", "-mkfs-time", `${time}`] },
  { name: "tar2sqfs", flags: (time: number) => ["--quiet", "--defaults", `mtime=${time}`] },
] as const;
const MOST_WORDS = 2_000;

/**
 * Writes a tar archive as a squashfs image to a path at which nothing is, with a program of this machine.
 * @param latest seconds since 1970: when the image says that it was made
 * @throws AssetsError when there is no such program, or it fails
 */
export async function writeSquashfs(
  archive: () => AsyncIterable<Uint8Array>,
  path: string,
  latest = Math.floor(Date.now() / 1000),
  signal?: AbortSignal,
): Promise<void> {
  const { execa } = await import("execa");
  // With this variable sqfstar refuses the flag that says the same.
  const { SOURCE_DATE_EPOCH: _, ...env } = process.env;
  for (const { name, flags } of PROGRAMS) {
    const input = Readable.from(archive());
    const { failed, code, stderr, originalMessage } = await execa(name, [...flags(latest), path], {
      ...{ input, env, extendEnv: false, reject: false },
      stdout: "ignore",
      ...(signal && { cancelSignal: signal }),
    });
    signal?.throwIfAborted();
    if (!failed) return;
    if (code === "ENOENT") continue;
    if (input.errored) throw input.errored;
    throw new AssetsError(`${name} has made no squashfs image: ${stderr.trim().slice(-MOST_WORDS) || originalMessage}`);
  }
  throw new AssetsError("nothing on this machine makes squashfs images", {
    hint: "Install squashfs-tools 4.5 or newer (sqfstar) or squashfs-tools-ng (tar2sqfs), or write type=erofs.",
  });
}
