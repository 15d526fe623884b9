import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { AssetsError, VmError } from "../../errors.js";
import type { Disk, StartOptions, Worker, WorkerExit } from "../hypervisor.js";
import { blockNode, INHERITED, imageNode, scsiDevice } from "./arguments.js";
import { keepAlive, launch } from "./launch.js";
import { Qmp } from "./qmp.js";
import { Tail } from "./tail.js";

const TAIL_BYTES = 16_384;
const QUOTED_LINES = 12;
/** Loading a state takes milliseconds, or seconds where KVM itself is emulated. */
const LOAD_TIMEOUT_MS = 60_000;
const DETACH_TIMEOUT_MS = 10_000;
/** 1 TiB, at 300 MB/s. */
const COPY_TIMEOUT_MS = 3_600_000;

/** A QEMU process and its control connection. */
export class QemuWorker implements Worker {
  readonly pid: number;
  readonly links: { control: Duplex; bulk: Duplex };
  readonly exited: Promise<WorkerExit>;
  readonly #child: ChildProcess;
  readonly #qmp: Qmp;
  readonly #deviceState: Duplex;
  readonly #console = new Tail(TAIL_BYTES);
  readonly #messages = new Tail(TAIL_BYTES);
  #ending = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    const socket = (descriptor: number) => child.stdio[descriptor] as Duplex;
    this.links = { control: socket(INHERITED.control), bulk: socket(INHERITED.bulk) };
    this.#deviceState = socket(INHERITED.deviceState);
    // Sockets of a killed process report ECONNRESET; `exited` and the QMP client tell what happened.
    for (const each of [this.links.control, this.links.bulk, this.#deviceState]) each.on("error", () => undefined);
    child.stdout?.on("data", (chunk: Buffer) => this.#console.add(chunk));
    child.stderr?.on("data", (chunk: Buffer) => this.#messages.add(chunk));
    this.#qmp = new Qmp(socket(INHERITED.qmp));
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal, expected: this.#ending }));
    });
  }

  /** Starts QEMU and waits until it takes commands. */
  static async start(command: readonly string[], options: StartOptions = {}): Promise<QemuWorker> {
    const { signal, greeted } = options;
    const [binary = ""] = command;
    signal?.throwIfAborted();
    const child = launch(command);
    if (child.pid === undefined) throw await startFailure(child, binary);
    const worker = new QemuWorker(child);
    if (greeted) worker.#qmp.once("greeting", () => greeted(worker.pid));
    const abort = () => void worker.kill();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await worker.#qmp.execute("qmp_capabilities");
      return worker;
    } catch (error) {
      await worker.kill();
      signal?.throwIfAborted();
      throw new AssetsError(`QEMU (${binary}) did not start: ${worker.diagnostics() || "it said nothing"}`, {
        cause: error,
        hint: "Run `supermachine doctor` to see what this machine lacks.",
      });
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  diagnostics(): string {
    return [this.#messages.lines(QUOTED_LINES), this.#console.lines(QUOTED_LINES)].filter(Boolean).join("\n");
  }

  consoleBytes(): number {
    return this.#console.total;
  }

  async attachDisks(disks: readonly Disk[]): Promise<void> {
    // Sent at once, answered in order: the round trips overlap.
    await Promise.all(
      disks.flatMap((disk) => [
        this.#qmp.execute("blockdev-add", blockNode(disk)),
        this.#qmp.execute("device_add", scsiDevice(disk)),
      ]),
    );
  }

  async detachDisk(disk: Disk): Promise<void> {
    const { id } = scsiDevice(disk);
    const gone = this.#qmp.event("DEVICE_DELETED", DETACH_TIMEOUT_MS, (data) => data.device === id);
    await Promise.all([this.#qmp.execute("device_del", { id }), gone]);
    await this.#qmp.execute("blockdev-del", { "node-name": blockNode(disk)["node-name"] });
  }

  async copyDisk(disk: Disk, path: string): Promise<{ done: Promise<void> }> {
    const id = `copy${disk.lun}`;
    await this.#qmp.execute("blockdev-add", imageNode(id, path));
    const ended = this.#qmp.event("BLOCK_JOB_COMPLETED", COPY_TIMEOUT_MS, (data) => data.device === id);
    const remove = () => this.#qmp.execute("blockdev-del", { "node-name": id });
    try {
      const device = blockNode(disk)["node-name"];
      await this.#qmp.execute("blockdev-backup", { "job-id": id, device, target: id, sync: "full" });
    } catch (error) {
      ended.catch(() => undefined);
      await remove().catch(() => undefined);
      throw error;
    }
    const done = ended.then(async ({ error }) => {
      await remove();
      if (typeof error === "string") throw copyFailure(error);
    });
    // Whoever began it may fail before it looks at the end.
    done.catch(() => undefined);
    return { done };
  }

  async loadDeviceState(state: Uint8Array): Promise<void> {
    const running = this.#qmp.event("RESUME", LOAD_TIMEOUT_MS);
    this.#deviceState.end(state);
    try {
      await running;
    } catch (error) {
      throw new VmError(`the device state could not be loaded: ${this.diagnostics()}`, { cause: error });
    }
  }

  async saveDeviceState(path: string): Promise<void> {
    // "Xen" only by name: the command saves all devices but RAM, in every build of QEMU.
    await this.#qmp.execute("xen-save-devices-state", { filename: path, live: false });
    await chmod(path, 0o600);
  }

  async pause(): Promise<void> {
    await this.#qmp.execute("stop");
  }

  async resume(): Promise<void> {
    await this.#qmp.execute("cont");
  }

  ref(): void {
    keepAlive(this.#child, true);
  }

  unref(): void {
    keepAlive(this.#child, false);
  }

  async kill(): Promise<void> {
    this.#ending = true;
    // Somebody waits for its end, also of one that does not keep our process alive otherwise.
    this.ref();
    this.#child.kill("SIGKILL");
    await this.exited;
    for (const stream of this.#child.stdio) stream?.destroy();
  }
}

/** QEMU gives the errno in words only. */
function copyFailure(reason: string): VmError {
  const cause = /no space left|quota exceeded/i.test(reason) ? { code: "ENOSPC" } : {};
  return new VmError(`the disk could not be copied: ${reason}`, { cause: Object.assign(new Error(reason), cause) });
}

async function startFailure(child: ChildProcess, binary: string): Promise<Error> {
  const [cause] = (await once(child, "error")) as [Error];
  return new AssetsError(`${binary} could not be started`, { cause, hint: "Run `supermachine setup`." });
}
