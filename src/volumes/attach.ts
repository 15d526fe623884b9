import { stat } from "node:fs/promises";
import { UsageError, VmError } from "../errors.js";
import type { Machine } from "../machine/index.js";
import type { LongWork } from "../progress.js";
import { readImage } from "./image-file.js";
import { lockImage } from "./lock.js";
import type { VolumePlan } from "./options.js";
import { ensureImage, growIfAsked, volumePath } from "./store.js";

/** Above those of all layers. */
const FIRST_LUN = 512;

/** A volume that this process has the right to use, until it is disposed of. */
export interface HeldVolume extends Disposable {
  path: string;
  guest: string;
  readOnly: boolean;
  label: string;
}

/**
 * Makes, where they are missing, and locks the volumes of a VM that is about to start.
 * @throws UsageError when one is in use or no volume, VmError when one is damaged, AssetsError
 */
export async function holdVolumes(plans: readonly VolumePlan[], work: LongWork): Promise<HeldVolume[]> {
  const held: HeldVolume[] = [];
  try {
    for (const plan of plans) held.push(await hold(plan, work));
    return held;
  } catch (error) {
    for (const each of held) each[Symbol.dispose]();
    throw error;
  }
}

async function hold({ name, file, label, guest, readOnly, sizeMiB }: VolumePlan, work: LongWork): Promise<HeldVolume> {
  const path = file ?? volumePath(name ?? "");
  if (!readOnly) await ensureImage(path, sizeMiB, work);
  else await stat(path).catch(() => Promise.reject(new UsageError(`there is no volume ${label} that could be read`)));
  const lock = lockImage(path, readOnly ? "read" : "write", label);
  try {
    const { state } = await readImage(path);
    if (state === "errors") {
      throw new VmError(`the volume ${label} is damaged: its kernel found errors in it`, {
        hint: `Copy the file, then repair it: e2fsck -f ${path}`,
      });
    }
    if (!readOnly) await growIfAsked(path, sizeMiB);
    return { path, guest, readOnly, label, [Symbol.dispose]: () => lock[Symbol.dispose]() };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** Gives a running machine a volume, and mounts it; it is held until the machine has ended. @throws VmError */
export async function attachVolume(
  machine: Machine,
  volume: HeldVolume,
  index: number,
  signal?: AbortSignal,
): Promise<void> {
  const { path, guest, readOnly } = volume;
  const lun = FIRST_LUN + index;
  await machine.attachVolume({ lun, path, volume: readOnly ? "read-only" : "writable" });
  await machine.agent.mountVolume({ lun, path: guest, readOnly }, signal ? { signal } : {});
}
