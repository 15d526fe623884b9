import { readFile, stat } from "node:fs/promises";
import { VmError } from "../errors.js";

/** What a VM takes of the host's memory, in bytes, from the kernel's account of its process (`/proc/PID/smaps`). */
export interface MemoryUsage {
  /** The guest's RAM, whether it was ever touched or not. */
  guestBytes: number;
  /** What the VM has for itself alone, swapped or not: ending it frees so much. The hypervisor's own memory is part of it. */
  privateBytes: number;
  /** The part of `privateBytes` that is pages of the guest which differ from the template. */
  guestPrivateBytes: number;
  /** Pages of the template that the VM uses and that are in memory once for all VMs of its shape. */
  templateBytes: number;
  /** The kernel's proportional set size: private memory and this VM's part of what several processes share. */
  proportionalBytes: number;
  /** Whether the template's pages are shared at all. They are not where every VM has a copy of them (`SUPERMACHINE_MEMORY=clone`). */
  sharesTemplate: boolean;
}

/** The fields of smaps that are added up, in KiB there. */
const FIELDS = ["Rss", "Pss", "Private_Clean", "Private_Dirty", "Anonymous", "Swap"] as const;
type Amounts = Record<(typeof FIELDS)[number], number>;

/**
 * Reads what process `pid` takes of the host's memory.
 * @param ram the file it maps as the guest's RAM; `shared` when that is a copy of its own
 * @throws VmError where there is no /proc, or the process has ended
 */
export async function readMemoryUsage(pid: number, ram: { path: string; shared: boolean }): Promise<MemoryUsage> {
  const { ino, size } = await stat(ram.path);
  const text = await readFile(`/proc/${pid}/smaps`, "latin1").catch((cause: unknown) => {
    throw new VmError(`the memory of process ${pid} cannot be read`, {
      cause,
      hint: "It has ended, or this is not Linux.",
    });
  });
  const [guest, rest] = [noAmounts(), noAmounts()];
  let current = rest;
  for (const line of text.split("\n")) {
    const header = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ (\d+)/.exec(line);
    if (header) current = Number(header[1]) === ino ? guest : rest;
    const [, name = "", amount] = /^(\w+):\s+(\d+) kB/.exec(line) ?? [];
    if (isField(name)) current[name] += Number(amount) * 1024;
  }
  // A page of the template that only one process has mapped counts as its private one there, but is none.
  const guestPrivateBytes = ram.shared ? guest.Rss : guest.Anonymous + guest.Swap;
  return {
    guestBytes: size,
    privateBytes: guestPrivateBytes + rest.Private_Clean + rest.Private_Dirty + rest.Swap,
    guestPrivateBytes,
    templateBytes: ram.shared ? 0 : guest.Rss - guest.Anonymous,
    proportionalBytes: guest.Pss + rest.Pss,
    sharesTemplate: !ram.shared,
  };
}

function noAmounts(): Amounts {
  return { Rss: 0, Pss: 0, Private_Clean: 0, Private_Dirty: 0, Anonymous: 0, Swap: 0 };
}

function isField(name: string): name is keyof Amounts {
  return (FIELDS as readonly string[]).includes(name);
}
