import type { EgressEvent } from "../network/index.js";
import { EventLimit, recordEvent, type VmEvent, type VmEventDetails } from "./events.js";
import { type VmRecord, writeRecord } from "./record.js";

/** Keeps what is known of a VM, and what happens to it, for those who ask now and those who look into its files. */
export class Journal {
  readonly #lostBytes: () => number;
  readonly #egress = new EventLimit();
  #record: VmRecord;
  #next: Promise<void> | undefined;
  #written: Promise<void> = Promise.resolve();

  /** @param lostBytes how many bytes of the output a full disk did not take */
  constructor(record: VmRecord, lostBytes: () => number) {
    this.#record = record;
    this.#lostBytes = lostBytes;
  }

  get record(): VmRecord {
    const lostOutputBytes = this.#lostBytes();
    return { ...this.#record, ...(lostOutputBytes > 0 && { lostOutputBytes }) };
  }

  /**
   * Notes what has changed; resolves when that is on the disk. A full disk keeps the VM from nothing: who asks gets the record from here.
   * What changes while the file is being written is written with the next change, all at once.
   */
  note(changes: Partial<VmRecord>): Promise<void> {
    this.#record = { ...this.#record, ...changes };
    this.#next ??= this.#written
      .then(() => {
        this.#next = undefined;
        return writeRecord(this.record);
      })
      .catch(() => undefined);
    this.#written = this.#next;
    return this.#written;
  }

  /** Tells those who follow the events. */
  tell(event: VmEvent["event"], details?: VmEventDetails): void {
    void recordEvent(this.#record.name, event, details);
  }

  tellEgress({ protocol, allowed, reason, address, port, names }: EgressEvent): void {
    const passed = this.#egress.pass();
    if (!passed) return;
    const where = { ...(address !== undefined && { address }), ...(port !== undefined && { port }) };
    const asked = names.length > 0 ? { names: names.join(" ").slice(0, 1_000) } : {};
    const dropped = passed.dropped > 0 ? { dropped: passed.dropped } : {};
    this.tell("egress", { protocol, allowed, reason, ...where, ...asked, ...dropped });
  }

  /** Resolves when everything is on the disk, or was refused by it. */
  written(): Promise<void> {
    return this.#written;
  }
}
