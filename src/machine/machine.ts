import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Disk, Worker, WorkerExit } from "../engine/index.js";
import { VmError } from "../errors.js";
import { Agent, type SessionIdentity } from "../guest/index.js";
import type { Delta, WorkerRam } from "../memory/index.js";
import { home, openScratch } from "../store/index.js";
import { DEVICE_STATE, type Runtime } from "./runtime.js";
import { endSpare, type Spare, spares } from "./spares.js";
import type { Template } from "./template.js";

const FIRST_ANSWER_TIMEOUT_MS = 60_000;
const SHUTDOWN_TIMEOUT_MS = 10_000;

/** Names of the files that make up a captured guest. */
export const CAPTURE_FILES = { delta: "memory.delta", deviceState: "device.state" } as const;

/** What a machine is restored from. */
export interface RestoreSource {
  template: Template;
  /** Read-only disks that the guest had when its state was captured, or that it shall get once it runs. */
  disks: readonly Disk[];
  /** What differs from the template; without it the machine is the template itself. */
  delta?: Delta;
  deviceState: Uint8Array;
}

/** Options of {@link Machine.restore}. */
export interface RestoreOptions {
  identity?: SessionIdentity | undefined;
  signal?: AbortSignal | undefined;
}

/** A restored guest with its agent. It knows nothing of images. */
export class Machine {
  readonly agent: Agent;
  readonly template: Template;
  readonly #worker: Worker;
  readonly #ram: WorkerRam;
  #disks: Disk[];
  #stopped: Promise<void> | undefined;
  #paused = false;
  #lastTurn: Promise<unknown> = Promise.resolve();

  private constructor(template: Template, worker: Worker, ram: WorkerRam, agent: Agent, disks: readonly Disk[]) {
    this.template = template;
    this.agent = agent;
    this.#worker = worker;
    this.#ram = ram;
    this.#disks = [...disks];
    void worker.exited.then((exit) => this.#ended(exit));
  }

  /** Takes a spare or starts a worker, puts the RAM and the device state in place, and waits for the agent's answer. */
  static async restore(runtime: Runtime, source: RestoreSource, options: RestoreOptions = {}): Promise<Machine> {
    const { template, disks, delta, deviceState } = source;
    const { signal, identity } = options;
    signal?.throwIfAborted();
    const spare = await takeSpare(source);
    const ram = spare?.ram ?? (await runtime.memory.open(template.ram));
    let worker = spare?.worker;
    try {
      worker ??= await runtime.hypervisor.prepare(template.hardware, ram.file, disks, signal);
      if (delta) await ram.apply(worker.pid, delta);
      await worker.loadDeviceState(deviceState);
      const died = worker.exited.then(() => {
        throw new VmError("the guest ended while it was restored");
      });
      const connected = Agent.connect(worker.links, {
        timeoutMs: FIRST_ANSWER_TIMEOUT_MS,
        ...(identity && { identity }),
        ...(signal && { signal }),
      });
      const agent = await Promise.race([connected, died]);
      return new Machine(template, worker, ram, agent, disks);
    } catch (cause) {
      await worker?.kill();
      await ram[Symbol.asyncDispose]();
      signal?.throwIfAborted();
      throw withDiagnostics("the guest could not be restored", cause, worker);
    }
  }

  /** Process id of the worker. */
  get pid(): number {
    return this.#worker.pid;
  }

  /** Whether the guest keeps this process alive: it does after `ref`, as at first, and does not after `unref`. */
  ref(): void {
    this.#worker.ref();
  }

  unref(): void {
    this.#worker.unref();
  }

  /** Disks the guest has. */
  get disks(): readonly Disk[] {
    return this.#disks;
  }

  /** The guest's last console lines and the hypervisor's messages. */
  diagnostics(): string {
    return this.#worker.diagnostics();
  }

  /** Gives the running guest more disks. */
  async attachDisks(disks: readonly Disk[]): Promise<void> {
    await this.#worker.attachDisks(disks);
    this.#disks = [...this.#disks, ...disks];
  }

  /** Whether the guest stands still because of {@link pause}. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Lets the guest stand still until {@link resume}; what is asked of its agent meanwhile waits. */
  pause(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#paused) return;
      await this.#halt();
      this.#paused = true;
    });
  }

  /** Lets the guest go on, with the right time. */
  resume(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#paused) return;
      await this.#goOn();
      this.#paused = false;
    });
  }

  /**
   * Writes the guest's state into `folder` as {@link CAPTURE_FILES}; the guest goes on afterwards, unless it was paused.
   * @returns how long it stood still for this, in milliseconds
   */
  async capture(folder: string): Promise<{ pausedMs: number }> {
    const { delta, pausedMs } = await this.#inTurn(async () => {
      await mkdir(folder, { recursive: true });
      return this.#capture(join(folder, CAPTURE_FILES.deviceState));
    });
    await delta.write(join(folder, CAPTURE_FILES.delta));
    return { pausedMs };
  }

  /** Like {@link capture}, but into memory: what a clone of the guest as it is now is restored from. */
  captureSource(): Promise<{ source: RestoreSource; pausedMs: number }> {
    return this.#inTurn(async () => {
      // The hypervisor can only write to a path.
      await using state = await openScratch(home().run, DEVICE_STATE);
      const { delta, pausedMs } = await this.#capture(state.path);
      const source = { template: this.template, disks: this.#disks, delta, deviceState: await readFile(state.path) };
      return { source, pausedMs };
    });
  }

  async #capture(deviceState: string): Promise<{ delta: Delta; pausedMs: number }> {
    const started = this.#paused ? performance.now() : await this.#halt();
    let delta: Delta;
    try {
      await this.#worker.saveDeviceState(deviceState);
      delta = await this.#ram.capture(this.#worker.pid);
    } finally {
      if (!this.#paused) await this.#goOn();
    }
    return { delta, pausedMs: this.#paused ? 0 : performance.now() - started };
  }

  /** One at a time: the links can only be brought to rest once. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#lastTurn.then(task);
    this.#lastTurn = done.catch(() => undefined);
    return done;
  }

  /** Stops the guest with its agent between two frames; gives the time at which that began. */
  async #halt(): Promise<number> {
    try {
      await this.agent.quiesce();
      const stopped = performance.now();
      await this.#worker.pause();
      return stopped;
    } catch (error) {
      // A guest that did not come to rest in time shall hear from us again all the same.
      this.agent.resume();
      throw error;
    }
  }

  async #goOn(): Promise<void> {
    await this.#worker.resume();
    this.agent.resume();
  }

  /** Ends the guest: in order when `graceMs` is given, at once otherwise. Resolves when its process is gone. */
  stop(options: { graceMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.graceMs);
    return this.#stopped;
  }

  async #stop(graceMs: number | undefined): Promise<void> {
    if (graceMs !== undefined) {
      // Only a running guest can shut down.
      await this.resume().catch(() => undefined);
      const gone = this.agent.shutdown({ graceMs, timeoutMs: graceMs + SHUTDOWN_TIMEOUT_MS });
      // A guest that does not obey is ended all the same.
      await Promise.race([gone, this.#worker.exited]).catch(() => undefined);
    }
    this.agent.close(new VmError("the microVM was stopped"));
    await this.#worker.kill();
    await this.#ram[Symbol.asyncDispose]();
  }

  /** The process ended: on our request, or by itself, which fails everything that is under way. */
  #ended(exit: WorkerExit): void {
    if (!exit.expected && !this.#stopped) {
      const how = exit.signal ? `was killed by ${exit.signal}` : `ended with code ${exit.code}`;
      this.agent.close(new VmError(`the microVM's QEMU ${how}\n${this.#worker.diagnostics()}`.trimEnd()));
    }
    void this.stop();
  }
}

/** Reads the device state of a template, the source of a bake. */
export async function templateSource(template: Template): Promise<RestoreSource> {
  return { template, disks: [], deviceState: await readFile(template.deviceState) };
}

/** A spare with the source's disks. One that died a moment ago is no reason to fail: there is the next, or none. */
async function takeSpare({ template, disks }: RestoreSource): Promise<Spare | undefined> {
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

function withDiagnostics(what: string, cause: unknown, worker: Worker | undefined): VmError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const lines = worker?.diagnostics() ?? "";
  return new VmError(`${what}: ${reason}${lines && !reason.includes(lines) ? `\n${lines}` : ""}`, { cause });
}
