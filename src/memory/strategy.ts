import type { Delta } from "./delta.js";

/** A file that a worker maps as its RAM; `shared` writes go to the file. */
export interface RamFile {
  path: string;
  shared: boolean;
}

/** RAM of one worker, from before its process starts until after it ended. */
export interface WorkerRam extends AsyncDisposable {
  /** What the hypervisor maps. */
  readonly file: RamFile;
  /** Puts a snapshot's pages over the template's. The process has mapped the RAM and the guest does not run yet. */
  apply(pid: number, delta: Delta): Promise<void>;
  /** Gives the pages that differ from the template. The guest is paused. */
  capture(pid: number): Promise<Delta>;
}

/** How a worker gets a template's RAM as its own, and how what it changed is found again. */
export interface MemoryStrategy {
  readonly name: "procfs" | "clone";
  /** @param template path of the template's `ram.img` */
  open(template: string): Promise<WorkerRam>;
  /** The file that each worker maps, where it is the same for all of them. */
  commonFile(template: string): RamFile | undefined;
}
