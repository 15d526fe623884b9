import { type Assets, assetsWith, ensureAssets, type GuestFiles } from "../assets/index.js";
import { type Accelerator, type Hypervisor, Qemu } from "../engine/index.js";
import { UsageError } from "../errors.js";
import { clone, type MemoryStrategy, procfs, RAM_COPY } from "../memory/index.js";
import type { LongWork } from "../progress.js";
import { home, sweepHalfMade, sweepLeases, sweepPartials, sweepScratch } from "../store/index.js";
import { chooseAccelerator } from "./accelerators.js";
import { DISK_IMAGE } from "./root-disk.js";

/** What the device states of captures in memory end in, for the moment in which they are files. */
export const DEVICE_STATE = "state";

/** What the disks end in that carry files into guests and out of them. */
export const COPY_DISK = "copy";

/** What machines are made with on this host. */
export interface Runtime {
  assets: Assets;
  hypervisor: Hypervisor;
  accelerator: Accelerator;
  memory: MemoryStrategy;
}

/** What a snapshot that comes from elsewhere brings along, and what it was made with. */
export interface BroughtGuest extends GuestFiles {
  accelerator: Accelerator;
}

/**
 * Finds (on first use: obtains) the assets and chooses the accelerator. Cheap when that was done before.
 * @param brought is used instead of this machine's own kernel and agent; what runs under emulation does so everywhere
 */
export async function openRuntime(work: LongWork = {}, brought?: BroughtGuest): Promise<Runtime> {
  const { run, templates, assets: assetsFolder } = home();
  const assets = brought ? await assetsWith(brought, work) : await ensureAssets(work);
  const scratch = [RAM_COPY, DEVICE_STATE, COPY_DISK, DISK_IMAGE].map((extension) => sweepScratch(run, extension));
  await Promise.all([
    sweepLeases(),
    sweepHalfMade(),
    ...scratch,
    sweepPartials(templates),
    sweepPartials(assetsFolder),
  ]);
  const hypervisor = new Qemu(assets.qemu.path, assets.qemu.version);
  const emulated = brought?.accelerator === "tcg" && !process.env.SUPERMACHINE_ACCEL;
  const accelerator = emulated ? "tcg" : await chooseAccelerator(assets, hypervisor, work);
  return { assets, hypervisor, accelerator, memory: chooseMemory(run) };
}

/** Only Linux shows another process's memory as files; `SUPERMACHINE_MEMORY` overrides the choice. */
function chooseMemory(folder: string): MemoryStrategy {
  const asked = process.env.SUPERMACHINE_MEMORY || (process.platform === "linux" ? "procfs" : "clone");
  if (asked === "procfs") return procfs;
  if (asked === "clone") return clone(folder);
  throw new UsageError(`SUPERMACHINE_MEMORY is ${asked}; it can be procfs or clone`);
}
