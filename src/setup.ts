import {
  type Assets,
  grantHypervisor,
  type HypervisorEntitlement,
  hostArchitecture,
  hypervisorEntitlement,
  locateQemu,
  qemuMissing,
  refreshAssets,
} from "./assets/index.js";
import { isolation, openRuntime } from "./machine/index.js";
import type { LongWork } from "./progress.js";

/** What {@link setup} found or obtained. */
export interface SetupResult {
  qemu: Assets["qemu"];
  /** Name of the kernel's package. */
  kernel: string;
  /** How guests are separated from this host: `hardware (kvm)`, `emulated (tcg)`, ... */
  isolation: string;
  /** Whether macOS lets this QEMU use its hypervisor; without it guests are emulated. `codesign` below grants it. */
  hypervisorEntitlement: HypervisorEntitlement;
}

/** What {@link codesignQemu} did. */
export interface CodesignResult {
  /** The QEMU in use. */
  path: string;
  /** `granted`: it had the entitlement; `not needed`: this is not macOS. */
  outcome: "signed" | "granted" | "not needed";
}

/**
 * Finds or obtains QEMU, the guest's kernel, the agent and the initramfs, and chooses the accelerator. Every operation does
 * so on first use; calling it again looks for newer versions. With `codesign`, QEMU is signed first where macOS needs that.
 * @throws AssetsError with the command to type where it may not install what is missing itself
 */
export async function setup(work: LongWork & { codesign?: boolean | undefined } = {}): Promise<SetupResult> {
  const { qemu, kernel } = await refreshAssets(work);
  if (work.codesign) await grantHypervisor(qemu.path, work);
  const entitlement = await hypervisorEntitlement(qemu.path, work);
  const { accelerator } = await openRuntime(work);
  return { qemu, kernel: kernel.name, isolation: isolation(accelerator), hypervisorEntitlement: entitlement };
}

/**
 * On macOS, signs the QEMU in use so that it may use the hypervisor, for this machine only; elsewhere nothing is asked for.
 * @throws AssetsError when there is no QEMU, or it cannot be signed
 */
export async function codesignQemu(options: { signal?: AbortSignal | undefined } = {}): Promise<CodesignResult> {
  const path = await locateQemu(hostArchitecture());
  if (!path) throw qemuMissing(hostArchitecture());
  return { path, outcome: await grantHypervisor(path, options) };
}
