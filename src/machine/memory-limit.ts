import type { Hardware } from "../engine/index.js";
import { UsageError } from "../errors.js";

/** What a hypervisor takes besides the guest's own memory. */
export const WORKER_MIB = 64;

/** Whoever takes memory that it can do without. */
export interface MemoryUser {
  /** Gives its memory up to whoever is no such user, without being asked to. */
  readonly yields: boolean;
  /** Ends something that idles. @returns how many MiB that will free, 0 when there was nothing */
  reclaim(): number;
  /** Memory has become free. */
  freed(): void;
}

/** Limits for all that this process runs. */
export interface Limits {
  /**
   * MiB that the guests of this process may come to take together, each counted with its whole memory and what its hypervisor
   * needs. By default `SUPERMACHINE_MAX_MEMORY_MIB`, else no limit.
   */
  maxMemoryMiB?: number | undefined;
}

/** Counts what guests may come to take, and says when there is no room for one more. */
export class MemoryLimit {
  #maxMiB: number | undefined;
  #usedMiB = 0;
  /** Part of the used that yields. */
  #yieldingMiB = 0;
  /** Somebody has been asked to give something up, which takes a moment. */
  #reclaiming = false;
  readonly #users = new Set<MemoryUser>();

  /** @throws UsageError when the environment has no usable number */
  get maxMiB(): number {
    this.#maxMiB ??= parse("SUPERMACHINE_MAX_MEMORY_MIB", process.env.SUPERMACHINE_MAX_MEMORY_MIB);
    return this.#maxMiB;
  }

  /** MiB that are counted now. */
  get usedMiB(): number {
    return this.#usedMiB;
  }

  /** Sets the limit; without one, that of the environment goes again. @throws UsageError */
  set(maxMiB: number | undefined): void {
    this.#maxMiB = maxMiB === undefined ? undefined : check("maxMemoryMiB", maxMiB);
    this.#notify();
  }

  /** Counts memory until it is disposed of. It is counted even beyond the limit: whoever minds asks first. */
  count(mib: number, yields = false): Disposable {
    const { maxMiB } = this;
    this.#usedMiB += mib;
    if (yields) this.#yieldingMiB += mib;
    else this.#takeWhatYields(maxMiB);
    let counted = true;
    return {
      [Symbol.dispose]: () => {
        if (!counted) return;
        counted = false;
        this.#usedMiB -= mib;
        if (yields) this.#yieldingMiB -= mib;
        this.#reclaiming = false;
        this.#notify();
      },
    };
  }

  /** Why `mib` more would be too much; nothing when there is room. */
  obstacle(mib: number, yields = false): string | undefined {
    const used = yields ? this.#usedMiB : this.#usedMiB - this.#yieldingMiB;
    if (used + mib <= this.maxMiB) return undefined;
    return `The limit maxMemoryMiB is ${this.maxMiB}: the guests of this process may take ${used} MiB already, and one more ${mib} MiB.`;
  }

  /** Asks the others to give one thing up. */
  makeRoom(asker: MemoryUser): void {
    if (this.#reclaiming) return;
    for (const user of this.#users) {
      if (user === asker || user.yields || user.reclaim() === 0) continue;
      this.#reclaiming = true;
      return;
    }
  }

  #takeWhatYields(maxMiB: number): void {
    let tooMuch = this.#usedMiB - maxMiB;
    for (const user of this.#users) {
      for (let freed = 1; user.yields && tooMuch > 0 && freed > 0; tooMuch -= freed) freed = user.reclaim();
    }
  }

  /** Has `user` told and asked, until it is disposed of. */
  join(user: MemoryUser): Disposable {
    this.#users.add(user);
    return { [Symbol.dispose]: () => void this.#users.delete(user) };
  }

  #notify(): void {
    for (const user of [...this.#users]) user.freed();
  }
}

/** What a guest may come to take together with its hypervisor, in MiB. */
export function memoryOf({ memoryMiB }: Pick<Hardware, "memoryMiB">): number {
  return memoryMiB + WORKER_MIB;
}

/** The limit of this process. */
export const memoryLimit = new MemoryLimit();

/** Sets limits for all that this process runs; what is left out is as the environment says. @throws UsageError */
export function setLimits(limits: Limits): void {
  memoryLimit.set(limits.maxMemoryMiB);
}

function parse(name: string, text: string | undefined): number {
  return text ? check(name, Number(text)) : Number.POSITIVE_INFINITY;
}

function check(name: string, mib: number): number {
  if (mib > 0) return mib;
  throw new UsageError(`${name} is ${mib}; it is a number of MiB above 0`);
}
