import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { AssetsError } from "../errors.js";
import { packageRoot } from "../package-root.js";
import { runProgram } from "./run-program.js";

const ENTITLEMENT = "com.apple.security.hypervisor";
const TIMEOUT_MS = 60_000;

/** The file that says to `codesign` what QEMU needs; applications that ship a QEMU sign it with this. */
export const entitlementsPath = join(packageRoot, "macos", "qemu.entitlements");

/** Whether macOS lets a program use its hypervisor. Other systems ask for no signature. */
export type HypervisorEntitlement = "granted" | "missing" | "not needed";

/** How a program is looked at. */
export interface CodesignOptions {
  signal?: AbortSignal | undefined;
  /** By default the one this runs on. */
  platform?: NodeJS.Platform;
}

/** Whether the signature of the program at `path` lets it use the hypervisor. @throws AssetsError when that cannot be told */
export async function hypervisorEntitlement(
  path: string,
  { signal, platform = process.platform }: CodesignOptions = {},
): Promise<HypervisorEntitlement> {
  if (platform !== "darwin") return "not needed";
  try {
    const { stdout } = await codesign(["--display", "--entitlements", "-", "--xml", await realpath(path)], signal);
    return allows(stdout) ? "granted" : "missing";
  } catch (cause) {
    signal?.throwIfAborted();
    if (/not signed at all/.test(String(cause))) return "missing";
    throw new AssetsError(`the signature of ${path} cannot be read`, { cause, hint: messageOf(cause) });
  }
}

/**
 * Signs the program at `path` so that it may use the hypervisor, unless it may: for this machine only, with no certificate.
 * @returns whether that was needed @throws AssetsError
 */
export async function grantHypervisor(
  path: string,
  options: CodesignOptions = {},
): Promise<"signed" | "granted" | "not needed"> {
  const before = await hypervisorEntitlement(path, options);
  if (before !== "missing") return before;
  const program = await realpath(path);
  await codesign(["--sign", "-", "--force", "--entitlements", entitlementsPath, program], options.signal).catch(
    (cause: unknown) => {
      options.signal?.throwIfAborted();
      throw new AssetsError(`${program} could not be signed`, {
        cause,
        hint: `${messageOf(cause)}\n  Sign it as its owner: codesign --sign - --force --entitlements ${entitlementsPath} ${program}`,
      });
    },
  );
  if ((await hypervisorEntitlement(path, options)) === "granted") return "signed";
  throw new AssetsError(`${program} was signed, but still may not use the hypervisor`, {
    hint: "It may be managed by the system; install QEMU with Homebrew, or name another one with SUPERMACHINE_QEMU.",
  });
}

/** The entitlement may be there and be refused. */
function allows(plist: string): boolean {
  const [, value] = plist.split(`<key>${ENTITLEMENT}</key>`);
  return value !== undefined && /^\s*<true\s*\/>/.test(value);
}

function codesign(args: readonly string[], signal: AbortSignal | undefined): Promise<{ stdout: string }> {
  return runProgram("codesign", args, { timeout: TIMEOUT_MS, ...(signal && { cancelSignal: signal }) });
}

/** What codesign itself says is its last line. */
function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().split("\n").at(-1) ?? text;
}
