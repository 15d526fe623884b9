import { UsageError, VmError } from "../errors.js";
import { ask, openExec } from "./control-client.js";
import type { ExecRequest } from "./exec-request.js";
import type { OutputLine } from "./output-log.js";
import { type LogOptions, readOutput } from "./read-output.js";
import { isOver, listRecords, placeOf, readRecord, removeRecord, type VmRecord } from "./record.js";
import { RemoteProcess } from "./remote-process.js";
import { socketPath } from "./socket-path.js";

/** On top of the workload's grace: for the guest's power-off and the record. */
const STOP_MARGIN_MS = 15_000;
const POLL_MS = 20;

/** A VM under a supervisor, held by that other process. */
export class RunningVm {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
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

  /** What its workload wrote. */
  logs(options: LogOptions = {}): AsyncGenerator<OutputLine> {
    return readOutput(placeOf(this.name).output, options, async () => {
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

  /** Waits for the end of the workload, restarts included, and gives its exit code. */
  async wait(signal?: AbortSignal): Promise<number> {
    return (await this.#ended(undefined, signal))?.exitCode ?? 0;
  }

  /** Removes what is left of it. @throws UsageError while it runs */
  remove(): Promise<void> {
    return removeRecord(this.name);
  }

  async #ended(limitMs: number | undefined, signal?: AbortSignal): Promise<VmRecord | undefined> {
    const end = Date.now() + (limitMs ?? Number.POSITIVE_INFINITY);
    for (;;) {
      signal?.throwIfAborted();
      const record = await readRecord(this.name);
      if (!record || isOver(record.status)) return record;
      if (Date.now() > end) throw new VmError(`the VM ${this.name} did not end within ${limitMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #socket(): Promise<string> {
    return socketPath(placeOf(this.name).folder);
  }
}

/** The VMs that run under supervisors, and with `all` those that have ended. */
export async function listVms(options: { all?: boolean | undefined } = {}): Promise<VmRecord[]> {
  const records = await listRecords();
  return options.all ? records : records.filter(({ status }) => !isOver(status));
}

/**
 * Finds a VM by what a user calls it: its name, its image's name or reference, or the beginning of its name where only one has it;
 * nothing means the only one that runs.
 * @throws UsageError when none or several fit
 */
export async function findVm(target?: string, options: { all?: boolean } = {}): Promise<RunningVm> {
  const records = await listVms(options);
  const fits = (test: (record: VmRecord) => boolean) => records.filter(test);
  const found =
    target === undefined
      ? records
      : ([
          fits(({ name }) => name === target),
          fits(({ image, reference }) => image === target || reference === target),
          fits(({ name }) => name.startsWith(target)),
        ].find((each) => each.length > 0) ?? []);
  const [one, other] = found;
  if (one && !other) return new RunningVm(one.name);
  const names = found.map(({ name }) => name).join(", ");
  if (other)
    throw new UsageError(target === undefined ? `several VMs run: ${names}` : `${target} can be ${names}`, {
      hint: "Name one.",
    });
  throw new UsageError(target === undefined ? "no VM is running" : `no VM ${JSON.stringify(target)} is running`, {
    hint: "`supermachine ps` lists them; `supermachine run --detach IMAGE` starts one.",
  });
}
