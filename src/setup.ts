import { type Assets, refreshAssets } from "./assets/index.js";
import { isolation, openRuntime } from "./machine/index.js";
import type { LongWork } from "./progress.js";

/** What {@link setup} found or obtained. */
export interface SetupResult {
  qemu: Assets["qemu"];
  /** Name of the kernel's package. */
  kernel: string;
  /** How guests are separated from this host: `hardware (kvm)`, `emulated (tcg)`, ... */
  isolation: string;
}

/**
 * Finds or obtains QEMU, the guest's kernel, the agent and the initramfs, and chooses the accelerator. Every operation does
 * so on first use; calling it again looks for newer versions.
 * @throws AssetsError with the command to type where it may not install what is missing itself
 */
export async function setup(work: LongWork = {}): Promise<SetupResult> {
  const { qemu, kernel } = await refreshAssets(work);
  const { accelerator } = await openRuntime(work);
  return { qemu, kernel: kernel.name, isolation: isolation(accelerator) };
}
