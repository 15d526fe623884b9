import { createHash } from "node:crypto";
import { lstat, mkdir } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { VmError } from "../errors.js";

const SOCKET_FILE = "control.sock";
/** macOS allows 104 bytes with the closing NUL, Linux 108. */
const MOST_BYTES = 103;

/** Where the supervisor of the VM in `folder` listens: in the folder itself, or in a short place where its path is too long. */
export async function socketPath(folder: string): Promise<string> {
  const path = join(folder, SOCKET_FILE);
  if (Buffer.byteLength(path) <= MOST_BYTES) return path;
  const { uid } = userInfo();
  const short = join(process.env.XDG_RUNTIME_DIR || tmpdir(), `supermachine-${uid}`);
  await mkdir(short, { recursive: true, mode: 0o700 });
  // Anybody can make a folder in the system's temporary one: who controls it controls whom we talk to.
  const { mode, uid: owner } = await lstat(short).then((info) => ({ ...info, uid: info.uid, mode: info.mode }));
  if ((uid >= 0 && owner !== uid) || (mode & 0o170077) !== 0o040000) {
    throw new VmError(`${short} is not a private folder of this user`, { hint: "Remove it, or set XDG_RUNTIME_DIR." });
  }
  return join(short, `${createHash("sha256").update(folder).digest("hex").slice(0, 24)}.sock`);
}
