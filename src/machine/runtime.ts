import { type Assets, ensureAssets } from "../assets/index.js";
import { type Accelerator, type Hypervisor, Qemu } from "../engine/index.js";
import { clone, type MemoryStrategy, procfs, sweepRam } from "../memory/index.js";
import type { LongWork } from "../progress.js";
import { home, sweepPartials } from "../store/index.js";
import { chooseAccelerator } from "./accelerators.js";

/** What machines are made with on this host. */
export interface Runtime {
  assets: Assets;
  hypervisor: Hypervisor;
  accelerator: Accelerator;
  memory: MemoryStrategy;
}

/** Overrides for tests and benchmarks. */
export interface RuntimeOptions extends LongWork {
  memory?: "procfs" | "clone" | undefined;
}

/** Finds (on first use: obtains) the assets and chooses the accelerator. Cheap when that was done before. */
export async function openRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const { run, templates, assets: assetsFolder } = home();
  const assets = await ensureAssets(options);
  await Promise.all([sweepRam(run), sweepPartials(templates), sweepPartials(assetsFolder)]);
  const hypervisor = new Qemu(assets.qemu.path, assets.qemu.version);
  const accelerator = await chooseAccelerator(assets, hypervisor, options);
  // Only Linux shows another process's memory as files.
  const strategy = options.memory ?? (process.platform === "linux" ? "procfs" : "clone");
  return { assets, hypervisor, accelerator, memory: strategy === "procfs" ? procfs : clone(run) };
}
