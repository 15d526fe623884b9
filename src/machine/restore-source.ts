import { readFile } from "node:fs/promises";
import type { Disk } from "../engine/index.js";
import type { Delta } from "../memory/index.js";
import type { RootDisk } from "./root-disk.js";
import type { Template } from "./template.js";

/** What a machine is restored from. */
export interface RestoreSource {
  template: Template;
  /** Read-only disks that the guest had when its state was captured, or that it shall get once it runs. */
  disks: readonly Disk[];
  /** The disk of its root's writable layer, where that is not in memory. Each machine gets one of its own. */
  rootDisk?: RootDisk | undefined;
  /** Where it has yet to be read, that goes on while a worker is started. */
  state: GuestState | Promise<GuestState>;
}

/** What a worker's memory and devices are set to. */
export interface GuestState {
  /** What differs from the template; without it the machine is the template itself. */
  delta?: Delta;
  deviceState: Uint8Array;
}

/** Reads the device state of a template, the source of a bake. */
export async function templateSource(template: Template): Promise<RestoreSource> {
  return { template, disks: [], state: { deviceState: await readFile(template.deviceState) } };
}
