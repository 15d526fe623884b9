export type {
  Accelerator,
  Architecture,
  BootSource,
  Disk,
  Hardware,
  Hypervisor,
  RamFile,
  Worker,
  WorkerExit,
} from "./hypervisor.js";
export { Qemu, qemuBinary } from "./qemu/index.js";
