import { randomInt } from "node:crypto";
import type { Disk, Worker } from "../engine/index.js";

/** Above those of layers and volumes, up to the last one that the agent knows. */
const FIRST_LENT_LUN = 1024;
const LENT_LUNS = 15_000;

/** A disk that a guest has for a while. */
export interface LentDisk extends AsyncDisposable {
  readonly lun: number;
}

/** The disks that a running guest has for a while. */
export class LentDisks {
  readonly #worker: Worker;
  readonly #isStopped: () => boolean;
  readonly #lent = new Set<number>();
  readonly #lentBefore = new Set<number>();

  /** @param isStopped whether the guest was told to end: then it is no failure that a disk cannot be taken back */
  constructor(worker: Worker, isStopped: () => boolean) {
    this.#worker = worker;
    this.#isStopped = isStopped;
  }

  /** How many are lent now. */
  get count(): number {
    return this.#lent.size;
  }

  async lend(path: string, { writable = false }: { writable?: boolean }): Promise<LentDisk> {
    const lun = this.#unusedLun();
    const disk: Disk = { lun, path, ...(writable && { volume: "writable" as const }) };
    this.#lent.add(lun);
    try {
      await this.#worker.attachDisks([disk]);
    } catch (error) {
      this.#lent.delete(lun);
      throw error;
    }
    return { lun, [Symbol.asyncDispose]: () => this.#takeBack(disk) };
  }

  async #takeBack(disk: Disk): Promise<void> {
    // With its process the disk is gone as well.
    await Promise.race([this.#worker.detachDisk(disk), this.#worker.exited]).catch((error: unknown) => {
      if (!this.#isStopped()) throw error;
    });
    this.#lent.delete(disk.lun);
  }

  /** Not the number of a former disk, of this guest or of the one that it was forked from: its kernel may not have let go of that yet. */
  #unusedLun(): number {
    if (this.#lentBefore.size > LENT_LUNS / 2) this.#lentBefore.clear();
    for (;;) {
      const lun = FIRST_LENT_LUN + randomInt(LENT_LUNS);
      if (this.#lentBefore.has(lun) || this.#lent.has(lun)) continue;
      this.#lentBefore.add(lun);
      return lun;
    }
  }
}
