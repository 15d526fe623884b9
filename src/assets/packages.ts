import { readFileSync } from "node:fs";
import { AssetsError } from "../errors.js";
import type { LongWork } from "../progress.js";
import { runProgram } from "./run-program.js";

const APT_TIMEOUT_MS = 15 * 60_000;
const PACKAGES = { x64: "qemu-system-x86", arm64: "qemu-system-arm" };

/** The distribution as /etc/os-release names it (`debian`, `ubuntu`, ...), or the platform where there is no such file. */
export function distribution(): string {
  try {
    return /^ID="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "linux";
  } catch {
    return process.platform;
  }
}

/** Whether we may install packages: apt is there and we are root. */
export function canInstall(): boolean {
  return ["debian", "ubuntu"].includes(distribution()) && process.getuid?.() === 0;
}

/** What a user types to get QEMU and a C compiler on this system. */
export function installHint(): string {
  const qemu = PACKAGES[process.arch === "arm64" ? "arm64" : "x64"];
  const commands: Record<string, string> = {
    debian: `sudo apt-get install --no-install-recommends ${qemu} gcc libc6-dev`,
    ubuntu: `sudo apt-get install --no-install-recommends ${qemu} gcc libc6-dev`,
    fedora: "sudo dnf install qemu-system-x86-core gcc glibc-static",
    alpine: "sudo apk add qemu-system-x86_64 gcc musl-dev linux-headers",
    arch: "sudo pacman -S qemu-base gcc",
    darwin: "brew install qemu",
  };
  const command = commands[distribution()];
  return command ? `Install it with: ${command}` : "Install QEMU 7.2 or newer and a C compiler with a static libc.";
}

/** Installs Debian packages, fetching the package lists first where they are missing or stale. */
export async function aptInstall(packages: readonly string[], work: LongWork): Promise<void> {
  const install = ["install", "--yes", "--quiet", "--no-install-recommends", ...packages];
  work.onProgress?.({ phase: "setup", item: `installing ${packages.join(", ")}` });
  try {
    await apt(install, work.signal).catch(async () => {
      await aptUpdate(work);
      await apt(install, work.signal);
    });
  } catch (cause) {
    work.signal?.throwIfAborted();
    throw new AssetsError(`apt-get could not install ${packages.join(", ")}`, { cause, hint: installHint() });
  }
  work.onProgress?.({ phase: "setup", item: `installing ${packages.join(", ")}`, finished: true });
}

/** Fetches the package lists. A failure is not reported: what needs the lists says so better. */
export async function aptUpdate({ signal }: LongWork): Promise<void> {
  await apt(["update", "--quiet"], signal).catch(() => undefined);
  signal?.throwIfAborted();
}

/** The package that Debian's meta package `image` stands for, such as `linux-image-6.1.0-56-cloud-amd64`, if apt knows it. */
export async function resolveKernelPackage(image: string, { signal }: LongWork): Promise<string | undefined> {
  const shown = await runProgram("apt-cache", ["show", "--no-all-versions", image], options(signal)).catch(
    () => undefined,
  );
  signal?.throwIfAborted();
  return /^Depends:.*?\b(linux-image-\d\S*-cloud-\w+)/m.exec(shown?.stdout ?? "")?.[1];
}

/** Downloads a package into `folder`; apt checks its signature. */
export async function aptDownload(name: string, folder: string, signal?: AbortSignal): Promise<void> {
  await runProgram("apt-get", ["download", name], { ...options(signal), cwd: folder }).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw new AssetsError(`apt-get could not download ${name}`, { cause, hint: "Run `apt-get update` and try again." });
  });
}

async function apt(args: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  await runProgram("apt-get", args, { ...options(signal), env: { DEBIAN_FRONTEND: "noninteractive" } });
}

function options(signal: AbortSignal | undefined) {
  return { timeout: APT_TIMEOUT_MS, stdin: "ignore" as const, ...(signal && { cancelSignal: signal }) };
}
