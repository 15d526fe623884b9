import { PoolExhaustedError } from "../errors.js";
import { memoryLimit, memoryOf, type Runtime } from "../machine/index.js";
import { checkPolicy, type NetworkOptions } from "../network/index.js";
import { type AcquireOptions, type PoolOptions, type PoolStats, ResourcePool } from "../pool/index.js";
import type { Vm } from "../vm/index.js";
import { MachineSource, type PooledImage, type PooledMachine } from "./machine-source.js";
import { attachStorage, hasStorage, holdStorage, type StorageOptions } from "./storage.js";

/** How a microVM is taken out of a pool. Its folders and volumes are mounted then; with any it is not lent again. */
export interface AcquireVmOptions extends AcquireOptions, NetworkOptions, StorageOptions {}

/** All that are open, for {@link closePools}. */
const open = new Set<Pool>();
/** Default pools by snapshot. */
const defaults = new Map<string, Pool>();

/**
 * MicroVMs of one image, restored before they are asked for. Each is lent to one user; what is released is ended and a clean one
 * restored in its place. A pool does not keep this process alive once all is released, and does not outlive it.
 */
export class Pool implements AsyncDisposable {
  readonly #image: PooledImage;
  readonly #pool: ResourcePool<PooledMachine>;
  readonly #memory: Disposable;

  /** Use {@link Image.pool}. @throws UsageError */
  constructor(runtime: Runtime, image: PooledImage, options: PoolOptions = {}) {
    this.#image = image;
    const user = {
      yields: false,
      reclaim: () => (this.#pool.reclaim() ? memoryOf(image) : 0),
      freed: () => this.#pool.balance(),
    };
    const reused = options.restoreOnRelease === false;
    const source = new MachineSource(runtime, image, user, reused);
    this.#pool = new ResourcePool(source, options);
    this.#memory = memoryLimit.join(user);
    open.add(this);
  }

  /**
   * Gives a clean microVM: at once when one idles, else as soon as one is restored or given back. Give it back with `await using`
   * or {@link Vm.release}.
   * @throws PoolExhaustedError when there is none in time, PoolClosedError, VmError when none can be restored, UsageError when what is to
   * be mounted is not there or in use
   */
  async acquire(options: AcquireVmOptions = {}): Promise<Vm> {
    this.#requireMemory();
    if (options.egress !== undefined) checkPolicy(options.egress);
    if (hasStorage(options)) return this.#acquireWithStorage(options);
    const { resource, release } = await this.#pool.acquire(options);
    return this.#image.vmOf(resource.machine, { workload: resource.workload, giveBack: release }, options);
  }

  /** Giving it back ends it and waits for that: then all is written, nothing of it touches a folder any more, and volumes are free. */
  async #acquireWithStorage(options: AcquireVmOptions): Promise<Vm> {
    const storage = await holdStorage(options, this.#image.user);
    const { resource } = await this.#pool.acquire(options).catch((error: unknown) => {
      storage[Symbol.dispose]();
      throw error;
    });
    const { machine, workload } = resource;
    void machine.ended.then(() => storage[Symbol.dispose]());
    try {
      await attachStorage(machine, storage, options.signal);
    } catch (error) {
      await machine.stop();
      throw error;
    }
    return this.#image.vmOf(machine, { workload, giveBack: () => machine.stop() }, options);
  }

  stats(): PoolStats {
    return this.#pool.stats();
  }

  /** Refuses callers from now on, also those that wait, and ends all VMs, also those in use. Resolves when nothing is left. */
  async close(): Promise<void> {
    this.#memory[Symbol.dispose]();
    await this.#pool.close();
    open.delete(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What never fits need not be waited for. */
  #requireMemory(): void {
    const needed = memoryOf(this.#image);
    if (needed <= memoryLimit.maxMiB) return;
    throw new PoolExhaustedError(
      `a microVM of this image takes ${needed} MiB, and the limit maxMemoryMiB is ${memoryLimit.maxMiB}`,
      { stats: this.stats(), hint: "Raise the limit, or bake the image with less memoryMiB." },
    );
  }
}

/** The pool of a snapshot that all of this process share, made by `make` on first use and after it was closed. */
export function defaultPool(snapshot: string, make: () => Pool): Pool {
  const known = defaults.get(snapshot);
  if (known && open.has(known)) return known;
  const pool = make();
  defaults.set(snapshot, pool);
  return pool;
}

/** Closes every pool of this process, those of `image.acquire()` included, for an orderly end. */
export async function closePools(): Promise<void> {
  defaults.clear();
  await Promise.all([...open].map((pool) => pool.close()));
}
