import { constants, readFileSync } from "node:fs";
import { access, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, release } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import type { Assets } from "../assets/index.js";
import type { Accelerator, Hypervisor } from "../engine/index.js";
import { AssetsError, UsageError } from "../errors.js";
import type { LongWork } from "../progress.js";
import { acquireLock, home, replace } from "../store/index.js";
import { boot } from "./boot.js";

/** In the order in which they are tried. */
const CANDIDATES: Partial<Record<NodeJS.Platform, Accelerator[]>> = {
  linux: ["kvm", "tcg"],
  darwin: ["hvf", "tcg"],
  win32: ["whpx", "tcg"],
};
const NAMES: readonly Accelerator[] = ["kvm", "hvf", "whpx", "tcg"];
const PROBE_MEMORY_MIB = 128;
/** KVM that is itself emulated needs 20 s to boot, with pauses of several seconds; a real one needs one. */
const LIMITS = { totalMs: 120_000, silentMs: 12_000 };
/** Where the CPU shows no virtualisation at all, /dev/kvm seldom works: do not make the user wait for the whole limit. */
const UNLIKELY_LIMITS = { totalMs: 120_000, silentMs: 4_000 };

const Verdict = v.object({ accelerator: v.picklist(NAMES), works: v.boolean(), reason: v.string() });

/** What a real boot showed of an accelerator. */
export type AcceleratorVerdict = v.InferOutput<typeof Verdict>;

const Cache = v.object({ host: v.string(), verdicts: v.array(Verdict) });

/** How strongly a guest is separated from the host, for people. */
export function isolation(accelerator: Accelerator): string {
  return accelerator === "tcg" ? "emulated (tcg)" : `hardware (${accelerator})`;
}

/**
 * The accelerator to use: `SUPERMACHINE_ACCEL`, else the first one with which a guest booted. The answer is kept per host.
 * @throws AssetsError when the one that was asked for does not work
 */
export async function chooseAccelerator(assets: Assets, hypervisor: Hypervisor, work: LongWork): Promise<Accelerator> {
  const asked = process.env.SUPERMACHINE_ACCEL;
  if (asked) {
    const accelerator = NAMES.find((name) => name === asked);
    if (!accelerator) throw new UsageError(`SUPERMACHINE_ACCEL is ${asked}; it can be ${NAMES.join(", ")}`);
    if (accelerator === "tcg") return accelerator;
    const verdict = await proveAccelerator(accelerator, assets, hypervisor, work);
    if (verdict.works) return accelerator;
    throw new AssetsError(`the accelerator ${asked} does not work here: ${verdict.reason}`, {
      hint: "Unset SUPERMACHINE_ACCEL to use the best one that does.",
    });
  }
  for (const accelerator of candidates()) {
    // Emulation needs nothing that could be missing, and the template's own boot proves it.
    if (accelerator === "tcg") break;
    if ((await proveAccelerator(accelerator, assets, hypervisor, work)).works) return accelerator;
  }
  return "tcg";
}

/** The accelerators that this platform could have. */
export function candidates(): readonly Accelerator[] {
  return CANDIDATES[process.platform] ?? ["tcg"];
}

/** Whether a guest boots with `accelerator`: known from an earlier boot on this very host, or booted now. */
export async function proveAccelerator(
  accelerator: Accelerator,
  assets: Assets,
  hypervisor: Hypervisor,
  work: LongWork,
): Promise<AcceleratorVerdict> {
  // Not kept: the device may come, go or be opened to us at any time, and looking costs nothing.
  const refused = await refusal(accelerator);
  if (refused) return { accelerator, works: false, reason: refused };
  const path = join(home().assets, "accelerators.json");
  const host = fingerprint(assets, hypervisor);
  const known = async () => {
    const cache = await readCache(path, host);
    return { cache, verdict: cache.verdicts.find((each) => each.accelerator === accelerator) };
  };
  const early = (await known()).verdict;
  if (early) return early;
  await using _lock = await acquireLock(`${path}.lock`, work.signal);
  const { cache, verdict: meanwhile } = await known();
  if (meanwhile) return meanwhile;
  const verdict = await probe(accelerator, assets, hypervisor, work);
  const verdicts = [...cache.verdicts, verdict];
  await replace(path, (partial) => writeFile(partial, JSON.stringify({ host, verdicts }, null, 2)));
  return verdict;
}

/** Forgets every verdict, so that the next use boots again. */
export async function forgetAccelerators(): Promise<void> {
  await rm(join(home().assets, "accelerators.json"), { force: true });
}

async function probe(
  accelerator: Accelerator,
  assets: Assets,
  hypervisor: Hypervisor,
  work: LongWork,
): Promise<AcceleratorVerdict> {
  const step = { phase: "accelerator" as const, item: `trying ${accelerator}` };
  work.onProgress?.(step);
  const folder = join(home().run, `probe-${process.pid}`);
  await mkdir(folder, { recursive: true });
  const hardware = { architecture: assets.architecture, accelerator, memoryMiB: PROBE_MEMORY_MIB, vcpus: 1 };
  const ram = { path: join(folder, "ram.img"), shared: true };
  const source = { kernel: assets.kernel.vmlinuz, initramfs: assets.initramfs, verbose: true };
  const started = performance.now();
  try {
    const { worker, agent } = await boot(hypervisor, hardware, ram, source, limitsFor(accelerator), work.signal);
    agent.close();
    await worker.kill();
    return {
      accelerator,
      works: true,
      reason: `a guest booted in ${((performance.now() - started) / 1000).toFixed(1)} s`,
    };
  } catch (error) {
    work.signal?.throwIfAborted();
    const [reason = "no reason given"] = error instanceof Error ? error.message.split("\n") : [];
    return { accelerator, works: false, reason: `${reason}${explanation(accelerator)}` };
  } finally {
    await rm(folder, { recursive: true, force: true });
    work.onProgress?.({ ...step, finished: true });
  }
}

/** Why `accelerator` cannot work, as far as that can be told without a boot. */
async function refusal(accelerator: Accelerator): Promise<string | undefined> {
  if (accelerator !== "kvm") return undefined;
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return "/dev/kvm is not there: the kvm module is not loaded, or virtualisation is switched off in the firmware";
    }
    return "/dev/kvm is there, but this user may not open it: add the user to the group kvm";
  }
}

function explanation(accelerator: Accelerator): string {
  if (accelerator !== "kvm" || virtualisationFlag()) return "";
  return "; /dev/kvm is there, but the CPU shows neither vmx nor svm, as on nested hosts whose KVM cannot run an ordinary kernel";
}

function limitsFor(accelerator: Accelerator) {
  return accelerator !== "kvm" || virtualisationFlag() ? LIMITS : UNLIKELY_LIMITS;
}

function virtualisationFlag(): boolean {
  if (process.arch !== "x64") return true;
  return /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync("/proc/cpuinfo", "utf8"));
}

/** A home folder can move between hosts, and a host can change. */
function fingerprint(assets: Assets, hypervisor: Hypervisor): string {
  return [cpus()[0]?.model, release(), hypervisor.identity, assets.kernel.name].join("; ");
}

async function readCache(path: string, host: string): Promise<v.InferOutput<typeof Cache>> {
  try {
    const cache = v.parse(Cache, JSON.parse(await readFile(path, "utf8")));
    if (cache.host === host) return cache;
  } catch {
    // Missing or damaged: it is only a cache.
  }
  return { host, verdicts: [] };
}
