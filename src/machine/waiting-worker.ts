import type { Disk, Worker } from "../engine/index.js";
import type { WorkerRam } from "../memory/index.js";
import type { RestoreSource } from "./restore-source.js";
import type { Runtime } from "./runtime.js";
import { takeSpare } from "./spares.js";
import type { Template } from "./template.js";

/** A worker that waits for a device state. */
export interface WaitingWorker {
  worker: Worker;
  ram: WorkerRam;
  /** Resolves when the pages of the source's delta are in its RAM. */
  placed: () => Promise<void>;
}

/** The command that a worker for a machine like this one is started with, where that is the same for all of them. */
export function waitingCommand(
  { hypervisor, memory }: Runtime,
  { ram, hardware }: Template,
  disks: readonly Disk[],
): string[] | undefined {
  const file = memory.commonFile(ram);
  return file && hypervisor.waitingCommand(hardware, file, disks);
}

/**
 * Takes a spare or starts a worker. The delta is put into a new one while QEMU still makes its devices, which takes as long; only if it
 * has not mapped the RAM by its first word, afterwards.
 */
export async function waitingWorker(
  runtime: Runtime,
  { template, state }: RestoreSource,
  disks: readonly Disk[],
  signal: AbortSignal | undefined,
): Promise<WaitingWorker> {
  const spare = await takeSpare(template, disks);
  const ram = spare?.ram ?? (await runtime.memory.open(template.ram));
  const place = async (pid: number) => {
    const { delta } = await state;
    if (delta) await ram.apply(pid, delta);
  };
  let early: Promise<boolean> | undefined;
  const greeted = (pid: number) => {
    early = place(pid).then(
      () => true,
      () => false,
    );
  };
  try {
    const { hardware } = template;
    const worker = spare?.worker ?? (await runtime.hypervisor.prepare(hardware, ram.file, disks, { signal, greeted }));
    const placed = async () => {
      if (!(await early)) await place(worker.pid);
    };
    return { worker, ram, placed };
  } catch (error) {
    await ram[Symbol.asyncDispose]();
    throw error;
  }
}
