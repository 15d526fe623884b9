import type { Disk, Worker } from "../engine/index.js";
import type { WorkerRam } from "../memory/index.js";
import { type MemoryLimit, type MemoryUser, memoryLimit, WORKER_MIB } from "./memory-limit.js";
import type { Runtime } from "./runtime.js";
import type { Template } from "./template.js";

/** More than this is never kept of one shape: each spare is a process, and the next ones can be started meanwhile. */
const MOST_PER_SHAPE = 4;
/** The taker's restore goes first: on few processors a new process would slow it down. */
const REFILL_DELAY_MS = 50;
const RETRY_DELAY_MS = 5_000;

/** A started worker that waits for a state, and the RAM that it has mapped. Whoever takes it ends it. */
export interface Spare {
  worker: Worker;
  ram: WorkerRam;
  /** What is counted for it while it is a spare. */
  memory: Disposable;
}

/** The spares of one template, for all images that are based on it. */
interface Shelf {
  runtime: Runtime;
  template: Template;
  wishes: Set<{ count: number }>;
  waiting: Set<Spare>;
  /** A spare is being started, or one is due after a delay. */
  next: "starting" | NodeJS.Timeout | undefined;
}

/**
 * Started workers in reserve, so that a restore need not wait for a process to start. None are kept unless somebody wishes for
 * them. They do not keep this process alive, and none outlives it.
 */
export class Spares implements MemoryUser {
  readonly #shelves = new Map<string, Shelf>();
  readonly #limit: MemoryLimit;
  readonly yields = true;

  constructor(limit: MemoryLimit) {
    this.#limit = limit;
    limit.join(this);
  }

  /** Keeps `count` spares for machines of `template` until the wish is disposed of. Wishes for one template add up. */
  wish(runtime: Runtime, template: Template, count: number): Disposable {
    const shelf = this.#shelf(runtime, template);
    const wish = { count };
    shelf.wishes.add(wish);
    this.#balance(shelf);
    return {
      [Symbol.dispose]: () => {
        shelf.wishes.delete(wish);
        this.#balance(shelf);
      },
    };
  }

  /** A spare for a machine of `template`, if one is ready. */
  take(template: Template): Spare | undefined {
    const shelf = this.#shelves.get(idOf(template));
    const [spare] = shelf?.waiting ?? [];
    if (!shelf || !spare) return undefined;
    shelf.waiting.delete(spare);
    spare.worker.ref();
    spare.memory[Symbol.dispose]();
    this.#balance(shelf, REFILL_DELAY_MS);
    return spare;
  }

  /** How many spares are ready for machines of `template`. */
  count(template: Template): number {
    return this.#shelves.get(idOf(template))?.waiting.size ?? 0;
  }

  /** Ends a spare, for whoever needs its memory. */
  reclaim(): number {
    for (const { waiting } of this.#shelves.values()) {
      for (const spare of waiting) {
        waiting.delete(spare);
        void endSpare(spare);
        return WORKER_MIB;
      }
    }
    return 0;
  }

  /** There is memory again for the spares that are missing. */
  freed(): void {
    for (const shelf of this.#shelves.values()) this.#balance(shelf, REFILL_DELAY_MS);
  }

  #shelf(runtime: Runtime, template: Template): Shelf {
    const id = idOf(template);
    const known = this.#shelves.get(id);
    if (known) return known;
    const shelf: Shelf = { runtime, template, wishes: new Set(), waiting: new Set(), next: undefined };
    this.#shelves.set(id, shelf);
    return shelf;
  }

  /** Starts the next spare that is missing, one at a time, or ends those that are too many. */
  #balance(shelf: Shelf, delayMs = 0): void {
    const target = targetOf(shelf);
    for (const spare of [...shelf.waiting].slice(target)) {
      shelf.waiting.delete(spare);
      void endSpare(spare);
    }
    if (shelf.waiting.size >= target) {
      if (typeof shelf.next === "object") clearTimeout(shelf.next);
      if (shelf.next !== "starting") shelf.next = undefined;
      if (shelf.wishes.size === 0 && !shelf.next) this.#shelves.delete(idOf(shelf.template));
    } else if (!shelf.next && this.#limit.obstacle(WORKER_MIB, true) === undefined) {
      shelf.next = setTimeout(() => void this.#start(shelf), delayMs).unref();
    }
  }

  async #start(shelf: Shelf): Promise<void> {
    shelf.next = undefined;
    // Somebody may have taken the memory meanwhile.
    if (this.#limit.obstacle(WORKER_MIB, true) !== undefined) return;
    shelf.next = "starting";
    let delayMs = 0;
    try {
      const spare = await startSpare(shelf, this.#limit.count(WORKER_MIB, true));
      spare.worker.unref();
      shelf.waiting.add(spare);
      void spare.worker.exited.then(() => this.#lost(shelf, spare));
    } catch {
      // Whoever needs a worker now starts one, and gets to know what is wrong.
      delayMs = RETRY_DELAY_MS;
    }
    shelf.next = undefined;
    this.#balance(shelf, delayMs);
  }

  /** A spare that nobody had taken ended by itself. */
  #lost(shelf: Shelf, spare: Spare): void {
    if (!shelf.waiting.delete(spare)) return;
    void endSpare(spare);
    this.#balance(shelf, REFILL_DELAY_MS);
  }
}

/** The spares of this process. */
export const spares = new Spares(memoryLimit);

/** Ends a spare that is not needed. */
async function endSpare({ worker, ram, memory }: Spare): Promise<void> {
  await worker.kill();
  await ram[Symbol.asyncDispose]();
  memory[Symbol.dispose]();
}

/** A spare with these disks. One that died a moment ago is no reason to fail: there is the next, or none. */
export async function takeSpare(template: Template, disks: readonly Disk[]): Promise<Spare | undefined> {
  for (let spare = spares.take(template); spare; spare = spares.take(template)) {
    try {
      await spare.worker.attachDisks(disks);
      return spare;
    } catch {
      await endSpare(spare);
    }
  }
  return undefined;
}

async function startSpare({ runtime, template }: Shelf, memory: Disposable): Promise<Spare> {
  let ram: WorkerRam | undefined;
  try {
    ram = await runtime.memory.open(template.ram);
    return { ram, memory, worker: await runtime.hypervisor.prepare(template.hardware, ram.file, []) };
  } catch (error) {
    await ram?.[Symbol.asyncDispose]();
    memory[Symbol.dispose]();
    throw error;
  }
}

function targetOf({ wishes }: Shelf): number {
  const wished = [...wishes].reduce((sum, { count }) => sum + count, 0);
  return Math.min(wished, MOST_PER_SHAPE);
}

/** Two boots of one shape differ in their RAM, which a spare has mapped. */
function idOf({ key, id }: Template): string {
  return `${key}/${id}`;
}
