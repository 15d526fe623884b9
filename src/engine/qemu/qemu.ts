import type { BootSource, Disk, Hardware, Hypervisor, RamFile, StartOptions, Worker } from "../hypervisor.js";
import { bootArguments, DEVICE_MODEL, incomingArguments } from "./arguments.js";
import { QemuWorker } from "./worker.js";

/** QEMU as a {@link Hypervisor}. */
export class Qemu implements Hypervisor {
  readonly identity: string;
  readonly #binary: string;

  /**
   * @param binary path of the system emulator
   * @param version what it prints of its version, with the distribution's suffix
   */
  constructor(binary: string, version: string) {
    this.#binary = binary;
    this.identity = `qemu ${version}; devices ${DEVICE_MODEL}`;
  }

  boot(hardware: Hardware, ram: RamFile, source: BootSource, signal?: AbortSignal): Promise<Worker> {
    return QemuWorker.start([this.#binary, ...bootArguments(hardware, ram, source)], { signal });
  }

  prepare(hardware: Hardware, ram: RamFile, disks: readonly Disk[], options?: StartOptions): Promise<Worker> {
    return QemuWorker.start(this.waitingCommand(hardware, ram, disks), options);
  }

  waitingCommand(hardware: Hardware, ram: RamFile, disks: readonly Disk[]): string[] {
    return [this.#binary, ...incomingArguments(hardware, ram, disks)];
  }
}
