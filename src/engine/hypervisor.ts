import type { Duplex } from "node:stream";

/** Guest architectures, by their Node name. */
export type Architecture = "x64" | "arm64";

/** `kvm`, `hvf` and `whpx` isolate by hardware; `tcg` emulates the processor in software. */
export type Accelerator = "kvm" | "hvf" | "whpx" | "tcg";

/** What the guest looks like to its kernel: a template can only be restored into the very same hardware. */
export interface Hardware {
  architecture: Architecture;
  accelerator: Accelerator;
  memoryMiB: number;
  vcpus: number;
}

/** The file behind the guest's RAM. `shared` writes go to the file, otherwise they stay private to the worker. */
export interface RamFile {
  path: string;
  shared: boolean;
}

/** What a writable disk begins with: the content of a disk as it is, or an image of one. It is only read. */
export interface DiskBase {
  path: string;
  format: "raw" | "image";
}

/** A disk, seen by the guest as `lun` (target and LUN in one, 8 bits each) of its SCSI controller: a layer, which is read-only and anybody's, a volume, or a guest's own. */
export interface Disk {
  lun: number;
  path: string;
  /** A file with a content of its own, locked against other hypervisors: one may write, or many read. */
  volume?: "writable" | "read-only";
  /** What it begins with: `path` is then an image that only holds what the guest writes. It is never flushed: it ends with its guest. */
  base?: DiskBase;
}

/** What a worker is started with to boot a kernel. */
export interface BootSource {
  kernel: string;
  initramfs: string;
  /** Shows the kernel's messages on the console from its first instruction on. */
  verbose?: boolean;
}

/** How a worker's process ended. */
export interface WorkerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Whether we asked for it. */
  expected: boolean;
}

/** One hypervisor process and the guest in it. */
export interface Worker {
  readonly pid: number;
  /** The agent's two ports. */
  readonly links: { control: Duplex; bulk: Duplex };
  readonly exited: Promise<WorkerExit>;
  /** The last lines of the guest's console and of the hypervisor's own messages, for error messages. */
  diagnostics(): string;
  /** Bytes the console has printed so far: a sign of life. */
  consoleBytes(): number;
  /** Adds disks to a waiting or running guest. */
  attachDisks(disks: readonly Disk[]): Promise<void>;
  /** Takes a disk away from a running guest; resolves when its file is not used any more. */
  detachDisk(disk: Disk): Promise<void>;
  /**
   * Copies a disk, as it is at this moment, into the empty image at `path`; what the guest writes afterwards is not in it. Resolves when that has
   * begun; `done` when it is over.
   */
  copyDisk(disk: Disk, path: string): Promise<{ done: Promise<void> }>;
  /** Loads a device state into a waiting worker and lets the guest run. RAM must be in place already. */
  loadDeviceState(state: Uint8Array): Promise<void>;
  /** Writes everything but RAM to a new file. The guest must be paused. */
  saveDeviceState(path: string): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Whether the process keeps ours alive: it does after `ref`, as at first, and does not after `unref`. */
  ref(): void;
  unref(): void;
  /** Ends the process at once; resolves when it is gone. */
  kill(): Promise<void>;
}

/** Options of {@link Hypervisor.prepare}. */
export interface StartOptions {
  signal?: AbortSignal | undefined;
  /**
   * Called with the process's id when it says its first word, which is well before it takes a command: QEMU has mapped the guest's
   * RAM by then, and makes its devices afterwards.
   */
  greeted?: ((pid: number) => void) | undefined;
}

/** What the engine needs of a hypervisor. */
export interface Hypervisor {
  /** Name, version and device model: a state saved by one build is only good for the same. */
  readonly identity: string;
  /** Boots a kernel with `ram` as its (shared, new) memory. */
  boot(hardware: Hardware, ram: RamFile, source: BootSource, signal?: AbortSignal): Promise<Worker>;
  /** Starts a worker that waits for a device state: with `disks` for one image, without for a spare. */
  prepare(hardware: Hardware, ram: RamFile, disks: readonly Disk[], options?: StartOptions): Promise<Worker>;
  /** The program that {@link prepare} starts, and its arguments. */
  waitingCommand(hardware: Hardware, ram: RamFile, disks: readonly Disk[]): string[];
}
