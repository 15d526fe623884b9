import { UsageError } from "../errors.js";

/** Where what is written to the root of a VM is kept. */
export type Writable = "memory" | "disk";

/** What a VM's root can be written to. */
export interface WritableOptions {
  /**
   * `memory` (default): in the guest's memory, at most half of it. `disk`: on a disk of the VM's own, a file of this machine that grows with what is
   * written; docs/storage.md compares them.
   */
  writable?: Writable | undefined;
  /** The size of that disk, 8192 by default. It implies `disk`. */
  diskMiB?: number | undefined;
}

const DEFAULT_DISK_MIB = 8192;
const LEAST_DISK_MIB = 64;
const MOST_DISK_MIB = 2 ** 20;

/** Size of the disk of the root; `undefined` when it is written to in memory. @throws UsageError */
export function diskSizeOf({ writable, diskMiB }: WritableOptions): number | undefined {
  if (writable !== undefined && writable !== "memory" && writable !== "disk")
    throw new UsageError(`writable is ${JSON.stringify(writable)}; it is memory or disk`);
  if (diskMiB === undefined) return writable === "disk" ? DEFAULT_DISK_MIB : undefined;
  if (writable === "memory") throw new UsageError("diskMiB is the size of a disk, but writable is memory");
  if (Number.isInteger(diskMiB) && diskMiB >= LEAST_DISK_MIB && diskMiB <= MOST_DISK_MIB) return diskMiB;
  throw new UsageError(`diskMiB is ${diskMiB}; it is a whole number from ${LEAST_DISK_MIB} to ${MOST_DISK_MIB}`);
}

/** Whether something else is asked for than a root that is written to on a disk of `sizeMiB`, or in memory without that. @throws UsageError */
export function asksForOtherDisk(options: WritableOptions, sizeMiB: number | undefined): boolean {
  const asked = diskSizeOf(options);
  if (options.diskMiB !== undefined) return asked !== sizeMiB;
  return options.writable !== undefined && (asked === undefined) !== (sizeMiB === undefined);
}
