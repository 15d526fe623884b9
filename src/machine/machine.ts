import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createDiskImage, type Disk, type Worker, type WorkerExit } from "../engine/index.js";
import { VmError } from "../errors.js";
import type { Agent, SessionIdentity } from "../guest/index.js";
import { type Delta, type MemoryUsage, readMemoryUsage, type WorkerRam } from "../memory/index.js";
import { home, openScratch } from "../store/index.js";
import { CAPTURE_FILES } from "./capture-files.js";
import { type LentDisk, LentDisks } from "./lent-disks.js";
import { memoryLimit, memoryOf } from "./memory-limit.js";
import type { RestoreSource } from "./restore-source.js";
import { DISK_IMAGE, openRootDisk, ROOT_DISK_FILE, type RootDisk, rootDiskBytes } from "./root-disk.js";
import { DEVICE_STATE, type Runtime } from "./runtime.js";
import { startSession } from "./start-session.js";
import type { Template } from "./template.js";
import { waitingWorker } from "./waiting-worker.js";

const SHUTDOWN_TIMEOUT_MS = 10_000;

/** Options of {@link Machine.restore}. */
export interface RestoreOptions {
  identity?: SessionIdentity | undefined;
  signal?: AbortSignal | undefined;
  /** The memory that was counted for it already; it is let go of with the guest, or when the restore fails. */
  memory?: Disposable | undefined;
}

/** A disk that a guest has for itself alone. */
interface OwnDisk {
  sizeMiB: number;
  disk: Disk;
}

/** A restored guest with its agent. It knows nothing of images. */
export class Machine {
  readonly agent: Agent;
  readonly template: Template;
  /** Resolves when the guest has ended; with the reason when that was not asked for. */
  readonly ended: Promise<VmError | undefined>;
  readonly #worker: Worker;
  readonly #ram: WorkerRam;
  readonly #memory: Disposable;
  #disks: Disk[];
  #rootDisk: OwnDisk | undefined;
  #copying: Promise<void> = Promise.resolve();
  #hasVolumes = false;
  readonly #lent: LentDisks;
  #stopped: Promise<void> | undefined;
  #paused = false;
  #lastTurn: Promise<unknown> = Promise.resolve();

  private constructor(
    source: Pick<RestoreSource, "template" | "disks">,
    rootDisk: OwnDisk | undefined,
    worker: Worker,
    ram: WorkerRam,
    agent: Agent,
    memory: Disposable,
  ) {
    this.template = source.template;
    this.agent = agent;
    this.#worker = worker;
    this.#ram = ram;
    this.#memory = memory;
    this.#disks = [...source.disks];
    this.#rootDisk = rootDisk;
    this.#lent = new LentDisks(worker, () => this.#stopped !== undefined);
    this.ended = worker.exited.then((exit) => this.#ended(exit));
  }

  /** Takes a spare or starts a worker, puts the RAM and the device state in place, and waits for the agent's answer. */
  static async restore(runtime: Runtime, source: RestoreSource, options: RestoreOptions = {}): Promise<Machine> {
    const { template, rootDisk } = source;
    const { signal, identity } = options;
    const memory = options.memory ?? memoryLimit.count(memoryOf(template.hardware));
    let [worker, ram]: [worker?: Worker, ram?: WorkerRam] = [];
    try {
      signal?.throwIfAborted();
      await using ownDisk = rootDisk && (await openRootDisk(rootDisk));
      const disks = ownDisk ? [...source.disks, ownDisk.disk] : source.disks;
      const waiting = await waitingWorker(runtime, source, disks, signal);
      ({ worker, ram } = waiting);
      await waiting.placed();
      const { deviceState } = await source.state;
      // What the agent is asked first waits in its port.
      const [agent] = await Promise.all([startSession(worker, identity, signal), worker.loadDeviceState(deviceState)]);
      const kept = rootDisk && ownDisk && { sizeMiB: rootDisk.sizeMiB, disk: ownDisk.disk };
      return new Machine(source, kept, worker, ram, agent, memory);
    } catch (cause) {
      await worker?.kill();
      await ram?.[Symbol.asyncDispose]();
      memory[Symbol.dispose]();
      signal?.throwIfAborted();
      // What could not be read says so itself.
      await source.state;
      throw withDiagnostics("the guest could not be restored", cause, worker);
    }
  }

  /**
   * Makes the guest, which was captured while it was paused, the first one that is restored from that capture: it goes on with a
   * new session. This object is of no use afterwards, whatever comes of it.
   */
  async handOver({ identity, signal }: RestoreOptions = {}): Promise<Machine> {
    if (this.#stopped || !this.#paused) throw new VmError("only a paused guest can be handed over");
    this.#stopped = Promise.resolve();
    this.agent.detach();
    try {
      await this.#worker.resume();
      const agent = await startSession(this.#worker, identity, signal);
      const own = { template: this.template, disks: this.#disks };
      return new Machine(own, this.#rootDisk, this.#worker, this.#ram, agent, this.#memory);
    } catch (error) {
      await this.#release();
      throw error;
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

  /** The disk that its root's writable layer is on; `undefined` when that is in memory. */
  get rootDisk(): { lun: number; sizeMiB: number } | undefined {
    return this.#rootDisk && { lun: this.#rootDisk.disk.lun, sizeMiB: this.#rootDisk.sizeMiB };
  }

  /** The guest's last console lines and the hypervisor's messages. */
  diagnostics(): string {
    return this.#worker.diagnostics();
  }

  /** What the machine takes of the host's memory. */
  memory(): Promise<MemoryUsage> {
    return readMemoryUsage(this.pid, this.#ram.file);
  }

  /** Gives the running guest more disks. */
  async attachDisks(disks: readonly Disk[]): Promise<void> {
    await this.#worker.attachDisks(disks);
    this.#disks = [...this.#disks, ...disks];
  }

  /** Gives the running guest a disk of its own for its root's writable layer, which is captured with it. */
  async giveRootDisk(rootDisk: RootDisk): Promise<void> {
    await using own = await openRootDisk(rootDisk);
    await this.#worker.attachDisks([own.disk]);
    this.#rootDisk = { sizeMiB: rootDisk.sizeMiB, disk: own.disk };
  }

  /** Gives the running guest a disk that outlives it. */
  async attachVolume(disk: Disk): Promise<void> {
    this.#hasVolumes = true;
    await this.#worker.attachDisks([disk]);
  }

  /**
   * Gives the running guest a disk for a while: a file that it reads, or `writable`. Whoever asked disposes of it when the guest does not
   * use it any more; until then the guest cannot be captured.
   */
  lendDisk(path: string, options: { writable?: boolean } = {}): Promise<LentDisk> {
    return this.#lent.lend(path, options);
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
   * Writes the guest's state into `folder` as {@link CAPTURE_FILES}; the guest goes on as soon as its memory is copied, unless it was paused.
   * @returns how long it stood still for this, in milliseconds
   */
  async capture(folder: string): Promise<{ pausedMs: number }> {
    const { delta, copied, pausedMs } = await this.#inTurn(async () => {
      await mkdir(folder, { recursive: true });
      const [deviceState, rootDisk] = [join(folder, CAPTURE_FILES.deviceState), join(folder, ROOT_DISK_FILE)];
      return this.#capture({ deviceState, rootDisk });
    });
    await delta.write(join(folder, CAPTURE_FILES.delta));
    await copied;
    return { pausedMs };
  }

  /** Like {@link capture}, but into memory: what clones of the guest as it is now are restored from, until it is disposed of. */
  async captureSource(): Promise<AsyncDisposable & { source: RestoreSource; pausedMs: number }> {
    // The hypervisor can only write to a path.
    await using state = await openScratch(home().run, DEVICE_STATE);
    const image = this.#rootDisk && (await openScratch(home().run, DISK_IMAGE));
    try {
      const places = { deviceState: state.path, rootDisk: image?.path ?? "" };
      const { delta, copied, pausedMs } = await this.#inTurn(() => this.#capture(places));
      await copied;
      const base = image && { path: image.path, format: "image" as const };
      const rootDisk = base && this.rootDisk && { ...this.rootDisk, base };
      const deviceState = await readFile(state.path);
      const source = { template: this.template, disks: this.#disks, rootDisk, state: { delta, deviceState } };
      return { source, pausedMs, [Symbol.asyncDispose]: async () => await image?.[Symbol.asyncDispose]() };
    } catch (error) {
      await image?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #capture(places: {
    deviceState: string;
    rootDisk: string;
  }): Promise<{ delta: Delta; copied: Promise<void>; pausedMs: number }> {
    this.#requireCapturable();
    // One copy of a disk at a time.
    await this.#copying.catch(() => undefined);
    const disk = this.#rootDisk?.disk;
    if (this.#rootDisk) await createDiskImage(places.rootDisk, rootDiskBytes(this.#rootDisk));
    const started = this.#paused ? performance.now() : await this.#halt();
    let [copied, delta]: [copied: Promise<void>, delta?: Delta] = [Promise.resolve()];
    try {
      await this.#worker.saveDeviceState(places.deviceState);
      if (disk) copied = (await this.#worker.copyDisk(disk, places.rootDisk)).done;
      this.#copying = copied;
      delta = await this.#ram.capture(this.#worker.pid);
    } finally {
      if (!this.#paused) await this.#goOn();
    }
    // The copying goes on, of the disk as it was, while the guest writes.
    return { delta, copied, pausedMs: this.#paused ? 0 : performance.now() - started };
  }

  #requireCapturable(): void {
    // Its memory holds what is not yet on the volume, and what it took from there: neither fits what the volume is later.
    if (this.#hasVolumes)
      throw new VmError("a microVM with volumes cannot be captured: a part of their content is in its memory", {
        hint: "Take snapshots and forks of a VM without volumes, and give each VM that is started from them its own.",
      });
    if (this.#lent.count > 0)
      throw new VmError("a microVM cannot be captured while files are copied into it or out of it", {
        hint: "Take the snapshot or the fork when the copy is done.",
      });
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

  /**
   * Ends the guest: in order when `graceMs` is given, at once otherwise. What is under way fails, with `reason` if there is one.
   * Resolves when its process is gone.
   */
  stop(options: { graceMs?: number; reason?: Error | undefined } = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.graceMs, options.reason);
    return this.#stopped;
  }

  async #stop(graceMs: number | undefined, reason?: Error): Promise<void> {
    // What is written to a volume must get there, however little time there is.
    const grace = graceMs ?? (this.#hasVolumes ? 0 : undefined);
    if (grace !== undefined) {
      this.ref();
      // Only a running guest can shut down.
      await this.resume().catch(() => undefined);
      const gone = this.agent.shutdown({ graceMs: grace, timeoutMs: grace + SHUTDOWN_TIMEOUT_MS });
      // A guest that does not obey is ended all the same.
      await Promise.race([gone, this.#worker.exited]).catch(() => undefined);
    }
    const why = reason ? `: ${reason.message}` : "";
    this.agent.close(new VmError(`the microVM was stopped${why}`, { cause: reason }));
    await this.#release();
  }

  async #release(): Promise<void> {
    await this.#worker.kill();
    await this.#ram[Symbol.asyncDispose]();
    this.#memory[Symbol.dispose]();
  }

  /** The process ended: on our request, or by itself, which fails everything that is under way. */
  #ended(exit: WorkerExit): VmError | undefined {
    const asked = exit.expected || this.#stopped !== undefined;
    const how = exit.signal ? `was killed by ${exit.signal}` : `ended with code ${exit.code}`;
    const failure = asked
      ? undefined
      : new VmError(`the microVM's QEMU ${how}\n${this.#worker.diagnostics()}`.trimEnd());
    if (failure) this.agent.close(failure);
    void this.stop();
    return failure;
  }
}

function withDiagnostics(what: string, cause: unknown, worker: Worker | undefined): VmError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const lines = worker?.diagnostics() ?? "";
  return new VmError(`${what}: ${reason}${lines && !reason.includes(lines) ? `\n${lines}` : ""}`, { cause });
}
