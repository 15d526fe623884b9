import type { Readable, Writable } from "node:stream";
import * as v from "valibot";
import { UsageError, VmError } from "../errors.js";
import type { ProcessInfo } from "../guest/index.js";
import { namedFolder } from "../image/index.js";
import { ask, openExec } from "./control-client.js";
import { RemoteCopy, type RemoteCopyOptions, type RemoteCopyResult } from "./copy.js";
import { recordEvent } from "./events.js";
import type { ExecRequest } from "./exec-request.js";
import { type ForkVmOptions, forkVm } from "./fork-vm.js";
import type { OutputLine } from "./output-log.js";
import { type LogOptions, readOutput } from "./read-output.js";
import { isClaimed, isOver, placeOf, readRecord, removeRecord, type VmRecord } from "./record.js";
import { RemoteProcess } from "./remote-process.js";
import { socketPath } from "./socket-path.js";
import { VmStats } from "./stats.js";
import { readSpec, superviseElsewhere } from "./supervise-elsewhere.js";

/** On top of the workload's grace: for the guest's power-off and the record. */
const STOP_MARGIN_MS = 15_000;
const POLL_MS = 20;
/** A large guest's memory is written to disk. */
const SNAPSHOT_TIMEOUT_MS = 600_000;

/** A VM under a supervisor, held by that other process. */
export class RunningVm {
  readonly name: string;
  /** What was known of it when this process had started it: no need to ask for its ports. {@link inspect} tells what is now. */
  readonly started: VmRecord | undefined;

  constructor(name: string, started?: VmRecord) {
    this.name = name;
    this.started = started;
  }

  /** What is known of it. @throws VmError when it is gone */
  async inspect(): Promise<VmRecord> {
    const record = await readRecord(this.name);
    if (record) return record;
    throw new VmError(`there is no VM ${this.name} any more`);
  }

  /** Starts a command in it; when this process ends, the command is killed. @throws RemoteExecFailure, VmError */
  async exec(argv: readonly string[], options: Omit<ExecRequest, "argv"> & { signal?: AbortSignal } = {}) {
    const { signal, ...rest } = options;
    if (argv.length === 0) throw new UsageError("there is no command to run: argv is empty");
    const socket = await openExec(await this.#socket(), signal);
    return RemoteProcess.start(socket, { argv: [...argv], ...rest }, signal);
  }

  /** Copies a file or a folder into it, as {@link Vm.copyIn}. @throws VmError, UsageError */
  async copyIn(hostPath: string, guestPath: string, options: RemoteCopyOptions = {}): Promise<RemoteCopyResult> {
    return (await this.#copy()).in(hostPath, guestPath, options);
  }

  /** Copies what a tar archive holds into a folder of it. */
  async copyInArchive(
    archive: Readable,
    guestPath: string,
    options: RemoteCopyOptions = {},
  ): Promise<RemoteCopyResult> {
    return (await this.#copy()).archiveIn(archive, guestPath, options);
  }

  /** Copies a file or a folder out of it, as {@link Vm.copyOut}. */
  async copyOut(guestPath: string, hostPath: string, options: RemoteCopyOptions = {}): Promise<RemoteCopyResult> {
    return (await this.#copy()).out(guestPath, hostPath, options);
  }

  /** Writes a tar archive of a file or a folder of it. The guest made it: whoever unpacks it takes care. */
  async copyOutArchive(guestPath: string, output: Writable, options: RemoteCopyOptions = {}): Promise<void> {
    await (await this.#copy()).archiveOut(guestPath, output, options);
  }

  /** What its workload wrote. */
  logs(options: LogOptions = {}): AsyncGenerator<OutputLine> {
    return readOutput(placeOf(this.name)[options.router ? "router" : "output"], options, async () => {
      const record = await readRecord(this.name);
      return !record || isOver(record.status);
    });
  }

  /** Ends the workload in order (SIGTERM, and SIGKILL after the grace) and the VM with it. Resolves when it has ended. */
  async stop(options: { graceMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    const { graceMs, signal } = options;
    const record = await this.inspect();
    if (isOver(record.status)) return;
    await ask(await this.#socket(), "POST", "/stop", { body: { graceMs }, signal });
    await this.#ended((graceMs ?? record.graceMs) + STOP_MARGIN_MS, signal);
  }

  /** Sends a signal to the workload. SIGKILL by default. */
  async kill(signal: NodeJS.Signals | number = "SIGKILL"): Promise<void> {
    await ask(await this.#socket(), "POST", "/kill", { body: { signal } });
  }

  /** Lets the guest stand still until {@link resume}; commands, connections and health checks wait. */
  async pause(): Promise<void> {
    await ask(await this.#socket(), "POST", "/pause");
  }

  /** Lets a paused guest go on. */
  async resume(): Promise<void> {
    await ask(await this.#socket(), "POST", "/resume");
  }

  /** What it takes of the host. */
  async stats(): Promise<VmStats> {
    return v.parse(VmStats, await ask(await this.#socket(), "GET", "/stats"));
  }

  /** The processes in it. */
  async processes(): Promise<ProcessInfo[]> {
    return (await ask(await this.#socket(), "GET", "/processes")) as ProcessInfo[];
  }

  /**
   * Captures it, with its processes and memory, as a new image of this name, whose VMs go on from there; gives the snapshot's folder.
   * @throws UsageError when the name is taken, VmError for a VM with volumes
   */
  async snapshot(name: string, signal?: AbortSignal): Promise<string> {
    const folder = namedFolder(name);
    await ask(await this.#socket(), "POST", "/snapshot", { body: { folder }, timeoutMs: SNAPSHOT_TIMEOUT_MS, signal });
    return folder;
  }

  /**
   * Clones it: each clone is a VM in the background of its own, with the processes and the memory that this one has now.
   * @throws UsageError, VmError; no clone is left then
   */
  async fork(options: ForkVmOptions = {}): Promise<RunningVm[]> {
    const { signal } = options;
    const names = await forkVm(await this.inspect(), options, {
      capture: async (folder, forks) => {
        const how = { body: { folder, forks }, timeoutMs: SNAPSHOT_TIMEOUT_MS, signal };
        await ask(await this.#socket(), "POST", "/snapshot", how);
      },
      discard: async (name) => {
        const clone = new RunningVm(name);
        await clone.stop({ graceMs: 0 });
        await clone.remove();
      },
    });
    return names.map((name) => new RunningVm(name));
  }

  /** Starts it again once it has ended, as it was started before. @throws UsageError while it runs, VmError */
  async start(signal?: AbortSignal): Promise<void> {
    await superviseElsewhere(await readSpec(this.name), { signal });
  }

  /** Waits for the end of the workload, restarts included, and gives its exit code; 1 if its VM failed, 0 if it was removed meanwhile. */
  async wait(signal?: AbortSignal): Promise<number> {
    const record = await this.#ended(undefined, signal);
    return record?.exitCode ?? (record?.status === "failed" ? 1 : 0);
  }

  /** Removes what is left of it. @throws UsageError while it runs */
  async remove(): Promise<void> {
    await removeRecord(this.name);
    await recordEvent(this.name, "remove");
  }

  async #ended(limitMs: number | undefined, signal?: AbortSignal): Promise<VmRecord | undefined> {
    const end = Date.now() + (limitMs ?? Number.POSITIVE_INFINITY);
    for (;;) {
      signal?.throwIfAborted();
      const record = await readRecord(this.name);
      if ((!record || isOver(record.status)) && !(await isClaimed(this.name))) return record;
      if (Date.now() > end) throw new VmError(`the VM ${this.name} did not end within ${limitMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #copy(): Promise<RemoteCopy> {
    return new RemoteCopy(await this.#socket());
  }

  async #socket(): Promise<string> {
    return socketPath(placeOf(this.name).folder);
  }
}
