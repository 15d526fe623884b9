import { createHash, randomUUID } from "node:crypto";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Hardware } from "../engine/index.js";
import { VmError } from "../errors.js";
import type { LongWork } from "../progress.js";
import { home, produceOnce } from "../store/index.js";
import { type Booted, boot } from "./boot.js";
import type { Runtime } from "./runtime.js";
import { describeTemplate, parseTemplate, ramFacts } from "./template-metadata.js";

/** 3 s under emulation on a slow core; 20 s and more where KVM itself is emulated. */
const BOOT_LIMITS = { totalMs: 120_000 };
const ATTEMPTS = 2;
/**
 * What the kernel puts off for up to a second when it boots (to tell of interfaces that came up, to free memory) would else be done by every
 * restored guest, in the way of its first command.
 */
const REST_MS = 1_200;

/** A guest that was booted once for its shape, with no image in it. */
export interface Template {
  /** Hash of the shape: everything that must be the same for the state to fit. */
  key: string;
  /** Tells this boot from any other of the same shape: deltas only fit the very RAM that they were taken from. */
  id: string;
  hardware: Hardware;
  ram: string;
  deviceState: string;
}

/** What a user chooses of a shape; the rest is given by the host. */
export interface Size {
  memoryMiB: number;
  vcpus: number;
}

/** The template for guests of `size`, booted now if there is none yet. */
export async function ensureTemplate(runtime: Runtime, size: Size, work: LongWork = {}): Promise<Template> {
  const { key, hardware } = shapeOf(runtime, size);
  const folder = join(home().templates, key);
  return produceOnce(folder, {
    find: () => readTemplate(folder, key, hardware),
    make: (partial) => makeTemplate(partial, runtime, hardware, work),
    ...(work.signal && { signal: work.signal }),
  });
}

/** The template for `size`, if there is one. */
export async function findTemplate(runtime: Runtime, size: Size): Promise<Template | undefined> {
  const { key, hardware } = shapeOf(runtime, size);
  return readTemplate(join(home().templates, key), key, hardware);
}

/** The key of templates for guests of `size` on this host. */
export function templateKey(runtime: Runtime, size: Size): string {
  return shapeOf(runtime, size).key;
}

/** The key and the hardware of guests of `size` on this host. */
export function shapeOf({ assets, hypervisor, accelerator }: Runtime, size: Size): { key: string; hardware: Hardware } {
  const { memoryMiB, vcpus } = size;
  const hardware: Hardware = { architecture: assets.architecture, accelerator, memoryMiB, vcpus };
  // With an accelerator the guest sees the host's own CPU.
  const cpu = accelerator === "tcg" ? "emulated" : cpus()[0]?.model;
  const shape = [hardware, hypervisor.identity, cpu, assets.kernel.digest, basename(assets.initramfs)];
  return { key: createHash("sha256").update(JSON.stringify(shape)).digest("hex").slice(0, 24), hardware };
}

/** The template in `folder`, if it is there and its RAM was not touched. */
export async function readTemplate(folder: string, key: string, hardware: Hardware): Promise<Template | undefined> {
  try {
    const metadata = parseTemplate(await readFile(join(folder, "template.json"), "utf8"));
    const [ram, deviceState] = [join(folder, "ram.img"), join(folder, "device.state")];
    const [facts] = await Promise.all([ramFacts(ram), stat(deviceState)]);
    if (facts.size !== metadata.ram.size || facts.modified !== metadata.ram.modified) return undefined;
    return { key, id: metadata.id, hardware, ram, deviceState };
  } catch {
    // Missing or damaged: it is made anew, and the snapshots that were based on it are baked anew.
    return undefined;
  }
}

async function makeTemplate(partial: string, runtime: Runtime, hardware: Hardware, work: LongWork): Promise<void> {
  const step = { phase: "template" as const, item: `${hardware.memoryMiB} MiB, ${hardware.vcpus} vCPU` };
  work.onProgress?.(step);
  await mkdir(partial, { recursive: true });
  const ram = join(partial, "ram.img");
  const { worker, agent } = await bootPatiently(ram, runtime, hardware, work);
  try {
    await sleep(REST_MS, undefined, work.signal ? { signal: work.signal } : {});
    await agent.quiesce();
    await worker.pause();
    await worker.saveDeviceState(join(partial, "device.state"));
  } finally {
    agent.close();
    await worker.kill();
  }
  await chmod(ram, 0o600);
  const metadata = await describeTemplate(partial, randomUUID(), runtime);
  await writeFile(join(partial, "template.json"), JSON.stringify(metadata, null, 2));
  work.onProgress?.({ ...step, finished: true });
}

/** Where KVM itself is emulated, one boot in forty hangs on a stalled clock; a second failure is a real one. */
async function bootPatiently(path: string, runtime: Runtime, hardware: Hardware, work: LongWork): Promise<Booted> {
  const source = { kernel: runtime.assets.kernel.vmlinuz, initramfs: runtime.assets.initramfs };
  for (let attempt = 1; ; attempt++) {
    try {
      return await boot(runtime.hypervisor, hardware, { path, shared: true }, source, BOOT_LIMITS, work.signal);
    } catch (error) {
      if (attempt === ATTEMPTS || !(error instanceof VmError)) throw error;
    }
  }
}
