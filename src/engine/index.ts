export type {
  Accelerator,
  Architecture,
  BootSource,
  Disk,
  DiskBase,
  Hardware,
  Hypervisor,
  RamFile,
  StartOptions,
  Worker,
  WorkerExit,
} from "./hypervisor.js";
export { checkDiskImage, createDiskImage, Qemu, qemuBinary } from "./qemu/index.js";
