import { createHash } from "node:crypto";
import { UsageError } from "../errors.js";
import type { AssembleRequest, ExtraFile } from "../guest/index.js";

const DEFAULT_MODE = 0o644;
const SYSCTL = /^[a-z0-9_-]+([./][a-zA-Z0-9_.-]+)+$/;
const SYSCTLS_MAX = 64;
/** Two of the agent's 64 are ours: /etc/hostname and /etc/hosts. */
const FILES_MAX = 62;
/** The agent's bound of a request is 1 MiB, of which the rest wants some. */
const FILES_BYTES_MAX = 960 * 1024;
const LEAST_SHM_BYTES = 65_536;

/** What a guest's root is made with besides the image. */
export interface GuestSettings {
  /** Kernel parameters by name, such as `net.core.somaxconn`. */
  sysctls?: Readonly<Record<string, string>> | undefined;
  /** Size of /dev/shm in bytes; half of the memory by default. */
  shmSize?: number | undefined;
  /**
   * Small files that are written into the root, by absolute path: text or bytes for one with mode 0o644. Links in their place are replaced, missing
   * folders are made. At most 62, and 960 KiB together.
   */
  extraFiles?:
    | Readonly<Record<string, string | Uint8Array | { content: string | Uint8Array; mode?: number }>>
    | undefined;
}

/** The settings as the agent takes them. @throws UsageError for what it could not take */
export function settingsOf(options: GuestSettings): Pick<AssembleRequest, "files" | "shmBytes" | "sysctls"> {
  return {
    files: filesOf(options.extraFiles ?? {}),
    ...(options.sysctls && { sysctls: checkSysctls(options.sysctls) }),
    ...(options.shmSize !== undefined && { shmBytes: checkShm(options.shmSize) }),
  };
}

/** A text that differs where the settings do; nothing where there are none. */
export function settingsKey(options: GuestSettings): string | undefined {
  const { files = [], ...rest } = settingsOf(options);
  if (files.length === 0 && Object.keys(rest).length === 0) return undefined;
  const hashed = files.map((file) => [file.path, file.mode, createHash("sha256").update(file.content).digest("hex")]);
  return JSON.stringify([hashed, rest]);
}

function filesOf(files: NonNullable<GuestSettings["extraFiles"]>): ExtraFile[] {
  const found = Object.entries(files).map(([path, file]) => {
    if (!path.startsWith("/") || path.includes("\0") || path.endsWith("/"))
      throw new UsageError(`${JSON.stringify(path)} in extraFiles is no absolute path of a file`);
    const { content, mode = DEFAULT_MODE } =
      typeof file === "string" || file instanceof Uint8Array ? { content: file } : file;
    return { path, mode, content };
  });
  const bytes = found.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
  if (found.length <= FILES_MAX && bytes <= FILES_BYTES_MAX) return found;
  throw new UsageError(
    `extraFiles are ${found.length} files of ${bytes} bytes; they are at most ${FILES_MAX}, of ${FILES_BYTES_MAX}`,
    {
      hint: "Write larger ones in a warm-up.",
    },
  );
}

function checkSysctls(sysctls: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(sysctls);
  if (entries.length > SYSCTLS_MAX) throw new UsageError(`${entries.length} sysctls are more than ${SYSCTLS_MAX}`);
  for (const [name, value] of entries) {
    if (SYSCTL.test(name) && !name.includes("..") && !/[\0\n]/.test(value) && value.length < 2_000) continue;
    throw new UsageError(`${JSON.stringify(`${name}=${value}`)} is no kernel parameter`, {
      hint: "It is NAME=VALUE, such as net.core.somaxconn=1024.",
    });
  }
  return sysctls;
}

function checkShm(bytes: number): number {
  if (Number.isSafeInteger(bytes) && bytes >= LEAST_SHM_BYTES) return bytes;
  throw new UsageError(`shmSize is ${bytes}; it is a whole number of bytes from ${LEAST_SHM_BYTES}`);
}
