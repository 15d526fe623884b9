import { rm } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { VmError } from "../errors.js";
import { Image } from "../image/index.js";
import { type ExitStatus, imageCommand, type Vm, type VmProcess } from "../vm/index.js";
import { type Routes, serveControl } from "./control-server.js";
import { serveExec } from "./exec-server.js";
import { LogFile, logPaths } from "./log-file.js";
import { keepOutput } from "./output-log.js";
import { claim, placeOf, type VmRecord, writeRecord } from "./record.js";
import { Restarts } from "./restart-policy.js";
import { socketPath } from "./socket-path.js";
import type { SupervisorSpec } from "./supervisor-spec.js";

/** After the workload's own end: for the guest to write back what it holds. */
const POWER_OFF_GRACE_MS = 1_000;

const StopRequest = v.object({ graceMs: v.optional(v.pipe(v.number(), v.minValue(0))) });
const KillRequest = v.object({ signal: v.union([v.string(), v.number()]) });

interface Running {
  vm: Vm;
  workload: VmProcess;
  startedAt: number;
}

/**
 * Runs an image's workload in a VM until it ends or is stopped, restarting it as told; keeps its output and its record, and does what
 * clients ask for. One supervisor holds one name.
 *
 * @param onStarted is called once, when the workload runs for the first time
 * @throws UsageError when the name is taken; whatever keeps the first start from succeeding
 */
export async function supervise(spec: SupervisorSpec, onStarted: () => void, signal?: AbortSignal): Promise<void> {
  await using _name = await claim(spec.name);
  const { folder, output } = placeOf(spec.name);
  // What never ran leaves nothing, and what ran only what it is told to keep.
  let kept = false;
  let supervisor: Supervisor | undefined;
  try {
    const image = await Image.fromSnapshot(spec.snapshotPath, signal ? { signal } : {});
    await Promise.all(logPaths(output).map((path) => rm(path, { force: true })));
    supervisor = new Supervisor(spec, image, new LogFile(output));
    const first = await supervisor.start(signal);
    await using _server = await serveControl(
      await socketPath(folder),
      supervisor.routes,
      (socket) => supervisor?.exec(socket) ?? Promise.resolve(),
    );
    kept = !spec.remove;
    onStarted();
    await supervisor.run(first);
  } finally {
    await supervisor?.close();
    if (!kept) await rm(folder, { recursive: true, force: true });
  }
}

class Supervisor {
  readonly #spec: SupervisorSpec;
  readonly #image: Image;
  readonly #log: LogFile;
  readonly #restarts: Restarts;
  readonly #stop = new AbortController();
  #graceMs: number;
  #running: Running | undefined;
  #record: VmRecord;
  readonly routes: Routes = {
    "GET /vm": async () => ({ ...this.#record, lostOutputBytes: this.#log.dropped }),
    "POST /stop": async (body) => {
      this.#graceMs = v.parse(StopRequest, body).graceMs ?? this.#spec.graceMs;
      this.#stop.abort();
      return {};
    },
    "POST /kill": async (body) => {
      const { signal } = v.parse(KillRequest, body);
      this.#current().workload.kill(signal as NodeJS.Signals | number);
      return {};
    },
  };

  constructor(spec: SupervisorSpec, image: Image, log: LogFile) {
    this.#spec = spec;
    this.#image = image;
    this.#log = log;
    this.#restarts = new Restarts(spec.restart);
    this.#graceMs = spec.graceMs;
    const { name, labels, remove, graceMs } = spec;
    this.#record = {
      ...{
        name,
        labels,
        remove,
        graceMs,
        status: "starting",
        pid: process.pid,
        createdAt: new Date().toISOString(),
        restarts: 0,
      },
      ...{ image: image.name, reference: image.reference, snapshotPath: image.snapshotPath },
      ...{ memoryMiB: image.memoryMiB, vcpus: image.vcpus, command: imageCommand(image.config, spec) },
    };
  }

  /** Restores a VM and starts the workload in it. */
  async start(signal?: AbortSignal): Promise<Running> {
    const vm = await this.#image.start({
      workload: false,
      mounts: this.#spec.mounts,
      volumes: this.#spec.volumes,
      egress: this.#spec.egress,
      publish: this.#spec.publish,
      ...(signal && { signal }),
    });
    try {
      const { env, cwd, user, cmd, entrypoint } = this.#spec;
      const changes = { env, ...(cwd !== undefined && { cwd }), ...(user !== undefined && { user }) };
      const workload = await vm.start({ ...changes, cmd, entrypoint });
      this.#running = { vm, workload, startedAt: Date.now() };
      const startedAt = new Date().toISOString();
      await this.#note({ status: "running", vmPid: vm.pid, isolation: vm.isolation, startedAt });
      return this.#running;
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Waits for the workload's end, again and again while it is to be restarted. */
  async run(first: Running): Promise<void> {
    for (let running: Running | undefined = first; running; ) {
      const status = await this.#untilEnd(running);
      const delay: number | undefined = this.#stop.signal.aborted
        ? undefined
        : this.#restarts.next(status.exitCode, Date.now() - running.startedAt);
      await running.vm.stop({ graceMs: POWER_OFF_GRACE_MS });
      this.#running = undefined;
      const endedAt = new Date().toISOString();
      await this.#note({ status: delay === undefined ? "exited" : "restarting", exitCode: status.exitCode, endedAt });
      running = delay === undefined ? undefined : await this.#startAgain(delay);
    }
  }

  /** Runs a command for a client. */
  async exec(socket: Duplex): Promise<void> {
    await serveExec(socket, () => this.#current().vm);
  }

  async close(): Promise<void> {
    await this.#running?.vm[Symbol.asyncDispose]();
    await this.#log.close();
  }

  async #untilEnd({ workload }: Running): Promise<ExitStatus> {
    const outputs = [
      keepOutput(workload.stdout, "stdout", this.#log),
      keepOutput(workload.stderr, "stderr", this.#log),
    ];
    const ended = workload.wait();
    const stop = () => void this.#end(workload, ended);
    this.#stop.signal.addEventListener("abort", stop, { once: true });
    if (this.#stop.signal.aborted) stop();
    try {
      return await ended;
    } catch (error) {
      // The VM is gone: as after a SIGKILL, but the record says why.
      await this.#note({ error: error instanceof Error ? error.message : String(error) });
      return { exitCode: 137, signal: "SIGKILL" };
    } finally {
      this.#stop.signal.removeEventListener("abort", stop);
      await Promise.allSettled(outputs);
    }
  }

  async #end(workload: VmProcess, ended: Promise<unknown>): Promise<void> {
    await this.#note({ status: "stopping" });
    workload.kill("SIGTERM");
    const tooLate = sleep(this.#graceMs, "late", { ref: false });
    const outcome = await Promise.race([ended, tooLate]).catch(() => undefined);
    if (outcome === "late") workload.kill("SIGKILL");
  }

  async #startAgain(delayMs: number): Promise<Running | undefined> {
    await sleep(delayMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    if (this.#stop.signal.aborted) return undefined;
    try {
      return await this.start(this.#stop.signal);
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        await this.#note({ status: "failed", error: error instanceof Error ? error.message : String(error) });
      }
      return undefined;
    }
  }

  #current(): Running {
    if (this.#running) return this.#running;
    throw new VmError(`the VM ${this.#spec.name} is between two runs of its workload`);
  }

  async #note(changes: Partial<VmRecord>): Promise<void> {
    this.#record = { ...this.#record, ...changes, restarts: this.#restarts.count };
    await writeRecord(this.#record);
  }
}
