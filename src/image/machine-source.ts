import { randomUUID } from "node:crypto";
import { VmError } from "../errors.js";
import { ExecFailure } from "../guest/index.js";
import {
  type Machine,
  type MemoryUser,
  memoryLimit,
  memoryOf,
  type RestoreOptions,
  type Runtime,
  spares,
  type Template,
} from "../machine/index.js";
import type { NetworkOptions } from "../network/index.js";
import type { PoolSource } from "../pool/index.js";
import type { PooledVm, Vm, Workload } from "../vm/index.js";

/** What a pool is told of its image. */
export interface PooledImage {
  memoryMiB: number;
  /** As whom its processes run. */
  user: string;
  template(): Promise<Template>;
  restore(options: RestoreOptions): Promise<PooledMachine>;
  vmOf(machine: Machine, pooled: PooledVm, network: NetworkOptions): Vm;
}

/** What a pool holds. */
export interface PooledMachine {
  machine: Machine;
  /** The image's own command, where it is started with each machine. */
  workload: Workload | undefined;
}

/** What a guest that idles has to answer within, once it is looked at. */
const CHECK_LIMIT_MS = 5_000;
const WARM_LIMIT_MS = 10_000;
/** The second time all is as it will be for the user. */
const WARM_UPS = [["sh", "-c", ":"], ["true"], ["true"]];
/** What a disk has to have room for. */
const PROBE_BYTES = 1 << 20;
/** Which one is ready while the next is restored. */
const SPARES = 1;

/** Restores the machines of a pool, and tells how they are. */
export class MachineSource implements PoolSource<PooledMachine> {
  readonly #runtime: Runtime;
  readonly #image: PooledImage;
  readonly #memoryMiB: number;
  readonly #reused: boolean;
  readonly #user: MemoryUser;
  #wish: Disposable | undefined;
  #active = false;

  /**
   * @param user the pool, as far as it takes memory
   * @param reused whether machines are lent again as they are left
   */
  constructor(runtime: Runtime, image: PooledImage, user: MemoryUser, reused: boolean) {
    this.#runtime = runtime;
    this.#image = image;
    this.#memoryMiB = memoryOf(image);
    this.#user = user;
    this.#reused = reused;
  }

  async create(signal: AbortSignal): Promise<PooledMachine> {
    // Counted before the first wait, so that two that start at a time do not both find room.
    const memory = memoryLimit.count(this.#memoryMiB);
    try {
      return await this.#image.restore({ signal, memory });
    } catch (error) {
      memory[Symbol.dispose]();
      throw error;
    }
  }

  async destroy({ machine }: PooledMachine, reason?: Error): Promise<void> {
    await machine.stop({ reason }).catch(() => undefined);
  }

  ended({ machine }: PooledMachine): Promise<Error | undefined> {
    return machine.ended;
  }

  /**
   * Runs `true` and the image's shell, where it has them. Under emulation the first process of a restored guest takes 90 ms and the
   * first that is read from disk 20 more, for the guest kernel's code has to be translated; here that is over before anyone waits.
   */
  async warm({ machine }: PooledMachine): Promise<void> {
    const signal = AbortSignal.timeout(WARM_LIMIT_MS);
    for (const argv of WARM_UPS) {
      try {
        const process = await machine.agent.exec({ argv }, { signal });
        await process.wait();
      } catch (error) {
        if (!(error instanceof ExecFailure)) throw new VmError("the guest does not run a command", { cause: error });
      }
    }
  }

  async check({ machine }: PooledMachine): Promise<void> {
    // Whoever had it may have left it standing still.
    await machine.resume();
    const failure = await startNothing(machine, CHECK_LIMIT_MS);
    if (failure.errno !== "EACCES") throw new VmError(`the guest cannot start a process: ${failure.message}`);
    if (this.#reused) await this.#probeDisk(machine);
  }

  async ping({ machine }: PooledMachine): Promise<void> {
    if (!machine.paused) await startNothing(machine);
  }

  hold({ machine }: PooledMachine, held: boolean): void {
    if (held) machine.ref();
    else machine.unref();
  }

  obstacle(): string | undefined {
    return memoryLimit.obstacle(this.#memoryMiB);
  }

  makeRoom(): void {
    memoryLimit.makeRoom(this.#user);
  }

  active(active: boolean): void {
    if (active === this.#active) return;
    this.#active = active;
    this.#wish?.[Symbol.dispose]();
    this.#wish = undefined;
    if (active) void this.#wishForSpares();
  }

  async #wishForSpares(): Promise<void> {
    const template = await this.#image.template().catch(() => undefined);
    if (template && this.#active) this.#wish ??= spares.wish(this.#runtime, template, SPARES);
  }

  /**
   * A file is written to its end: the agent takes in what a writer that has failed does not want any more, so that only the outcome tells.
   * Nobody has a file, or a link, of that name.
   */
  async #probeDisk({ agent }: Machine): Promise<void> {
    const path = `/.supermachine-${randomUUID()}`;
    const signal = AbortSignal.timeout(CHECK_LIMIT_MS);
    await agent.files.write(path, Buffer.alloc(PROBE_BYTES), { signal });
    await agent.files.remove({ path, signal });
  }
}

/**
 * Has the guest start what is no program: a process is made as for any command, which then finds that it cannot become a folder. It
 * is the cheapest question whose answer says that commands would run.
 */
async function startNothing({ agent }: Machine, limitMs?: number): Promise<ExecFailure> {
  const limit = limitMs === undefined ? {} : { signal: AbortSignal.timeout(limitMs) };
  try {
    await agent.exec({ argv: ["/"] }, limit);
  } catch (error) {
    if (error instanceof ExecFailure) return error;
    throw error;
  }
  throw new VmError("the guest started a folder");
}
