import { EventEmitter, once } from "node:events";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { VmError } from "../errors.js";
import type { Image } from "../image/index.js";
import { type ExitStatus, oomKills, type Vm } from "../vm/index.js";
import { endWorkload } from "./end-workload.js";
import { serveExec } from "./exec-server.js";
import { monitorHealth } from "./health-monitor.js";
import { Journal } from "./journal.js";
import { newRecord, startOf } from "./new-record.js";
import type { OutputLog } from "./output-log.js";
import { untilReady } from "./readiness.js";
import type { VmRecord } from "./record.js";
import { Restarts } from "./restart-policy.js";
import { Slumber } from "./slumber.js";
import { goesOn, type Running, startWorkload } from "./start-workload.js";
import type { SupervisorSpec } from "./supervisor-spec.js";

/** After the workload's own end: for the guest to write back what it holds. */
const POWER_OFF_GRACE_MS = 1_000;
/** For a workload whose requests took all the time there was. */
const LEAST_GRACE_MS = 1_000;

/** One VM after the other for one workload, with everything that is known of them. */
export class Supervisor {
  readonly #image: Image;
  readonly #log: OutputLog;
  readonly #restarts: Restarts;
  readonly #stop = new AbortController();
  readonly #journal: Journal;
  readonly #slumber = new Slumber();
  readonly #changes = new EventEmitter();
  #spec: SupervisorSpec;
  #graceMs: number;
  #stoppedAt: number | undefined;
  #running: Running | undefined;
  #isReady = false;
  /** How often processes had been ended for want of memory in the snapshot, as far as is known. */
  #oomKills = 0;
  /** A SIGKILL was asked for: it is not started again, as with docker. */
  #letEnd = false;
  #isOver = false;
  #over: Promise<void> | undefined;
  /** Lets what is served come to its end, for at most so many milliseconds, before the workload hears of its own. */
  drain: ((graceMs: number) => Promise<void>) | undefined;

  constructor(spec: SupervisorSpec, image: Image, log: OutputLog) {
    this.#spec = spec;
    this.#image = image;
    this.#log = log;
    this.#restarts = new Restarts(spec.restart);
    this.#graceMs = spec.graceMs;
    this.#journal = new Journal(newRecord(image, spec), () => log.lostBytes);
  }

  get record(): VmRecord {
    return this.#journal.record;
  }

  /** How long the workload has to end now. Requests that never end leave it a moment of its own all the same. */
  get graceMs(): number {
    const left = this.#graceMs - (Date.now() - (this.#stoppedAt ?? Date.now()));
    return Math.max(left, Math.min(this.#graceMs, LEAST_GRACE_MS));
  }

  /** What it was told, with the ports on the host that were chosen. */
  get spec(): SupervisorSpec {
    return this.#spec;
  }

  /** Resolves when the last VM has ended. */
  get over(): Promise<void> {
    return this.#over ?? Promise.resolve();
  }

  /** Starts the first VM. */
  async start(signal?: AbortSignal): Promise<Running> {
    const first = await this.#startVm(signal);
    // The same ones after a restart.
    this.#spec = { ...this.#spec, publish: this.record.ports ?? [] };
    return first;
  }

  /**
   * Runs what {@link start} gave, and resolves when that answers; with the connection that showed it, if one did, which is the caller's.
   * @throws VmError with the workload's last output when it does not; nothing of it runs then
   */
  async untilReady(first: Running, signal?: AbortSignal): Promise<Duplex | undefined> {
    this.#over = this.#run(first);
    const { name, ready, restart, edge } = this.#spec;
    // What runs in the snapshot listens already, as a rule, and an edge wants a connection anyway.
    const isConnected = goesOn(this.#image, this.#spec) || edge !== undefined;
    const service = {
      ...{ name, ready, isConnected, isRestarted: restart.when !== "no" },
      ...{ vm: () => this.#running?.vm, exited: () => first.workload.wait() },
      ...{ ended: this.#over.then(() => this.record), lastWords: () => this.#log.lastWords },
    };
    let connection: Duplex | undefined;
    try {
      // Who wants to be told of what fails at once waits a while anyway.
      if (!ready) await this.#countOomKills();
      connection = await untilReady(service, signal);
    } catch (error) {
      this.stop(0);
      await this.#over;
      throw error;
    }
    this.#isReady = true;
    // Not before: in a guest that was just restored, reading a file takes as long as the whole start.
    if (ready) void this.#countOomKills();
    if (this.record.status === "starting") void this.#journal.note({ status: "running" });
    if (ready) this.#journal.tell("ready");
    return connection;
  }

  /** Notes where its HTTP server is reached on the host. */
  served(http: NonNullable<VmRecord["http"]>): void {
    const { edge } = this.#spec;
    // The same one when it is started again.
    if (edge) this.#spec = { ...this.#spec, edge: { ...edge, port: http.hostPort } };
    void this.#journal.note({ http });
  }

  /** Resolves when what is known is on the disk, if that takes it. */
  recorded(): Promise<void> {
    return this.#journal.written();
  }

  /** Ends the workload and all that follows: the stop signal, and SIGKILL after the grace. */
  readonly stop = (graceMs: number = this.#spec.graceMs): void => {
    if (this.#stop.signal.aborted) return;
    this.#graceMs = graceMs;
    this.#stoppedAt = Date.now();
    if (this.#running || this.#slumber.isAsleep) this.#journal.tell("stop");
    this.#stop.abort();
    void this.#slumber.wake().catch(() => undefined);
  };

  /** Ends the VM until it is woken, as soon as nobody works in it any more and it is not paused. Resolves when it has ended. */
  async sleep(): Promise<void> {
    this.#slumber.want();
    await this.#sleepIfDue();
  }

  /** Has the VM run, and stay awake. @throws VmError when it slept and cannot be started */
  async wake(): Promise<void> {
    await this.#slumber.wake();
  }

  async #sleepIfDue(): Promise<void> {
    const running = this.#running;
    if (!running || running.vm.paused || this.#stop.signal.aborted || !this.#slumber.isDue) return;
    this.#slumber.begin();
    const ended = running.workload.wait();
    ended.catch(() => undefined);
    await this.#end(running, ended);
  }

  /** Sends a signal to the workload. */
  async kill(signal: NodeJS.Signals | number): Promise<void> {
    const isKill = signal === "SIGKILL" || signal === 9;
    if (isKill && this.#slumber.isAsleep) return this.stop(0);
    const { workload } = this.current();
    if (isKill) {
      this.#letEnd = true;
      await this.resume();
    }
    this.#journal.tell("kill", { signal });
    workload.kill(signal);
  }

  async pause(): Promise<void> {
    const { vm } = this.current();
    if (vm.paused) return;
    await vm.pause();
    await this.#journal.note({ status: "paused" });
    this.#journal.tell("pause");
  }

  async resume(): Promise<void> {
    const { vm } = this.current();
    if (!vm.paused) return;
    await vm.resume();
    await this.#journal.note({ status: "running" });
    this.#journal.tell("resume");
    void this.#sleepIfDue().catch(() => undefined);
  }

  /** Captures the VM in a new folder: as an image, or to make so many forks of. */
  async snapshot(folder: string, forks?: number): Promise<void> {
    await this.current().vm.snapshot(folder);
    if (forks === undefined) this.#journal.tell("snapshot", { folder });
    else this.#journal.tell("fork", { forks });
  }

  /** Runs a command for a client. */
  async exec(socket: Duplex): Promise<void> {
    await this.visit((vm) => serveExec(socket, vm));
  }

  /** Does something in the VM, which is woken for it, and does not go to sleep before it is done. */
  async visit<T>(work: (vm: () => Promise<Vm>) => Promise<T>): Promise<T> {
    try {
      return await this.#slumber.visit((wake) =>
        work(async () => {
          await wake();
          this.requireAwake();
          return this.current().vm;
        }),
      );
    } finally {
      void this.#sleepIfDue().catch(() => undefined);
    }
  }

  /** What runs, once it is another one than `former`. @throws VmError when there will be none */
  async next(former: Running | undefined, signal: AbortSignal): Promise<Running> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#isOver) throw new VmError("its command has ended");
      if (this.#running && this.#running !== former) return this.#running;
      await once(this.#changes, "change", { signal });
    }
  }

  /** @throws VmError when there is none just now */
  current(): Running {
    if (this.#slumber.isAsleep)
      throw new VmError(`the VM ${this.#spec.name} is asleep`, { hint: "A request to its HTTP port wakes it." });
    if (this.#running) return this.#running;
    throw new VmError(`the VM ${this.#spec.name} is between two runs of its workload`);
  }

  /** @throws VmError while it is paused, when nobody in it could answer */
  requireAwake(): void {
    if (!this.current().vm.paused) return;
    throw new VmError(`the VM ${this.#spec.name} is paused`, {
      hint: `\`supermachine resume ${this.#spec.name}\` lets it go on.`,
    });
  }

  async close(): Promise<void> {
    await this.#running?.vm[Symbol.asyncDispose]();
    await this.#log.close();
    await this.#journal.written();
  }

  async #startVm(signal: AbortSignal | undefined): Promise<Running> {
    const running = await startWorkload(this.#image, this.#spec, (event) => this.#journal.tellEgress(event), signal);
    this.#running = running;
    this.#changes.emit("change");
    const status = this.#isReady || !this.#spec.ready ? "running" : "starting";
    void this.#journal.note({ status, ...startOf(running, this.#spec) });
    this.#journal.tell("start", { image: this.record.image });
    return running;
  }

  /** All VMs begin with the number that the snapshot has, which a bake knows. */
  async #countOomKills(): Promise<void> {
    if (this.#running) this.#oomKills = this.#image.oomKills ?? (await oomKills(this.#running.vm));
  }

  /** Waits for the workload's end, again and again while it is to be restarted. */
  async #run(first: Running): Promise<void> {
    for (let running: Running | undefined = first; running; ) {
      using _health = monitorHealth(running.vm, this.#spec, (health) => {
        if (health.status !== this.record.health?.status) this.#journal.tell("health", { status: health.status });
        void this.#journal.note({ health });
      });
      running = await this.#next(running, await this.#untilEnd(running));
    }
    this.#isOver = true;
    this.#changes.emit("change");
    this.#slumber.over(new VmError(`the VM ${this.#spec.name} has ended`));
  }

  /** What follows a workload that has ended: a restart, sleep, or nothing. */
  async #next(ended: Running, { exitCode, signal }: ExitStatus): Promise<Running | undefined> {
    const outOfMemory = (await oomKills(ended.vm)) > this.#oomKills;
    const isStopped = this.#stop.signal.aborted;
    const sleeps = this.#slumber.isAsleep && !isStopped;
    const isLast = sleeps || isStopped || this.#letEnd;
    const delay = isLast ? undefined : this.#restarts.next(exitCode, Date.now() - ended.startedAt);
    // Who leaves the workload no time wants it gone; what it has written to volumes gets there all the same.
    const isHurried = isStopped && this.#graceMs === 0;
    await (isHurried ? ended.vm.release() : ended.vm.stop({ graceMs: POWER_OFF_GRACE_MS }));
    this.#running = undefined;
    if (outOfMemory) this.#journal.tell("oom");
    this.#journal.tell(sleeps ? "sleep" : "die", { exitCode, ...(signal && { signal }) });
    const status = sleeps ? "asleep" : delay === undefined ? "exited" : "restarting";
    const gone = sleeps ? { vmPid: undefined, health: undefined } : {};
    const { count: restarts } = this.#restarts;
    await this.#journal.note({ status, exitCode, endedAt: new Date().toISOString(), outOfMemory, restarts, ...gone });
    if (sleeps) return this.#untilAwake();
    return delay === undefined ? undefined : this.#startAgain(delay);
  }

  /** What cannot be started sleeps on: whoever woke it is told, and the next one may have more luck. */
  async #untilAwake(): Promise<Running | undefined> {
    for (;;) {
      await this.#slumber.untilWoken();
      if (this.#stop.signal.aborted) break;
      try {
        const running = await this.#startVm(this.#stop.signal);
        this.#journal.tell("wake");
        this.#slumber.over();
        return running;
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        await this.#journal.note({ status: "asleep", error: messageOf(error) });
        this.#slumber.failed(error);
      }
    }
    await this.#journal.note({ status: "exited" });
    return undefined;
  }

  async #untilEnd({ vm, workload }: Running): Promise<ExitStatus> {
    // Settled from the start: a VM that is gone breaks its streams off before anybody waits for them.
    const outputs = Promise.allSettled([
      this.#log.keep(workload.stdout, "stdout"),
      this.#log.keep(workload.stderr, "stderr"),
    ]);
    const ended = workload.wait();
    const stop = () => void this.#end({ vm, workload }, ended).catch(() => undefined);
    this.#stop.signal.addEventListener("abort", stop, { once: true });
    if (this.#stop.signal.aborted) stop();
    try {
      return await ended;
    } catch (error) {
      // The VM is gone: as after a SIGKILL, but the record says why.
      await this.#journal.note({ error: messageOf(error) });
      return { exitCode: 137, signal: "SIGKILL" };
    } finally {
      this.#stop.signal.removeEventListener("abort", stop);
      await outputs;
    }
  }

  async #end({ vm, workload }: Pick<Running, "vm" | "workload">, ended: Promise<unknown>): Promise<void> {
    await this.#journal.note({ status: "stopping" });
    // Only a guest that goes on hears of it.
    await vm.resume();
    if (this.#stop.signal.aborted) await Promise.race([this.drain?.(this.#graceMs), ended]).catch(() => undefined);
    await endWorkload(workload, ended, { stopSignal: this.#spec.stopSignal, graceMs: this.graceMs });
  }

  /** What cannot be started just now is tried again as often as what fails. */
  async #startAgain(firstDelayMs: number): Promise<Running | undefined> {
    for (let delayMs: number | undefined = firstDelayMs; delayMs !== undefined; ) {
      await sleep(delayMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      if (this.#stop.signal.aborted) break;
      this.#journal.tell("restart", { restarts: this.#restarts.count });
      try {
        return await this.#startVm(this.#stop.signal);
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        delayMs = this.#restarts.next(1, 0);
        const status = delayMs === undefined ? "failed" : "restarting";
        await this.#journal.note({ status, restarts: this.#restarts.count, error: messageOf(error) });
      }
    }
    if (this.#stop.signal.aborted) await this.#journal.note({ status: "exited" });
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
