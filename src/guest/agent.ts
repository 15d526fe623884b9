import { randomBytes } from "node:crypto";
import type { Duplex, Readable } from "node:stream";
import { VmError } from "../errors.js";
import { type AssembleRequest, encodeAssemble, encodeShutdown } from "./assemble.js";
import {
  type CopyFigures,
  type CopyInRequest,
  type CopyOptions,
  type CopyOutRequest,
  copyIn,
  copyOut,
} from "./copy.js";
import type { ExecRequest } from "./exec-request.js";
import { decodeFailure, ResultKind } from "./failure.js";
import { FieldWriter } from "./fields.js";
import { type FuseHandler, type FuseRequest, mountFuse } from "./fuse.js";
import { GuestFiles } from "./guest-files.js";
import { type LeftOut, openLayer } from "./layer.js";
import { Link, type LinkShape } from "./link.js";
import { encodeAwaitListener } from "./listener.js";
import { type AnswerMessage, openMessageSocket } from "./message-socket.js";
import { encodeMount, type MountRequest } from "./mount.js";
import { GuestNetwork } from "./network.js";
import { attachProcess, type GuestProcess, startProcess } from "./process.js";
import { listProcesses, type ProcessInfo, signalProcess } from "./processes.js";
import { encodeVolume, type VolumeRequest } from "./volume.js";
import { withDeadline } from "./wait.js";

const CONTROL: LinkShape = { name: "control", sendCredit: 65_536, receiveWindow: 65_536, dataMax: 32_768 };
/** With 64 KiB a frame, what a socket gives at once, a guest's program is woken half as often as with 32. */
const BULK: LinkShape = { name: "bulk", sendCredit: 262_144, receiveWindow: 1_048_576, dataMax: 65_536 };
const SEED_BYTES = 64;
const CONNECT_TIMEOUT_MS = 30_000;
const QUIESCE_TIMEOUT_MS = 10_000;
const ASSEMBLE_TIMEOUT_MS = 15_000;
const MOUNT_TIMEOUT_MS = 15_000;
const SHUTDOWN_GRACE_MS = 2_000;

/** What a session gives the guest besides the time and a random seed. */
export interface SessionIdentity {
  hostname?: string;
  /** 32 lower-case hex digits, for /etc/machine-id. */
  machineId?: string;
}

export interface ConnectOptions {
  identity?: SessionIdentity;
  /** 30 s by default. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** The host's side of a guest's agent. */
export class Agent {
  /** Resolves when the links have ended; with the error that ended them, if it was one. */
  readonly closed: Promise<Error | undefined>;
  /** What the guest's programs send, and connections to their ports. */
  readonly network: GuestNetwork;
  readonly files: GuestFiles;
  readonly #control: Link;
  readonly #bulk: Link;
  #end: (error: Error | undefined) => void = () => {};
  #failure: VmError | undefined;

  private constructor(links: { control: Duplex; bulk: Duplex }) {
    this.closed = new Promise((resolve) => {
      this.#end = resolve;
    });
    const fail = (error: VmError): void => this.#close(error, error);
    this.#control = new Link(links.control, CONTROL, fail);
    this.#bulk = new Link(links.bulk, BULK, fail);
    this.network = new GuestNetwork(this.#bulk);
    this.files = new GuestFiles(this.#bulk);
  }

  /** Begins a session on both links: streams of an earlier one are gone, the guest has the time and fresh randomness. */
  static async connect(links: { control: Duplex; bulk: Duplex }, options: ConnectOptions = {}): Promise<Agent> {
    const agent = new Agent(links);
    const sessions = Promise.all([
      agent.#control.session((fields) => addIdentity(fields, options.identity ?? {})),
      agent.#bulk.session(),
    ]);
    try {
      await agent.#within(sessions, options.timeoutMs ?? CONNECT_TIMEOUT_MS, "the agent to answer", options.signal);
    } catch (error) {
      agent.close(error instanceof Error ? error : undefined);
      throw error;
    }
    return agent;
  }

  /**
   * Starts a command; resolves when it runs. Rejects with ExecFailure when it cannot start. Aborting `signal` kills it, also later;
   * its `wait()` then rejects with the signal's reason.
   */
  async exec(request: ExecRequest, options: { signal?: AbortSignal } = {}): Promise<GuestProcess> {
    return startProcess(request.link === "bulk" ? this.#bulk : this.#control, request, options.signal);
  }

  /**
   * Connects to a command that was started with `keepOutputBytes`, by the pid that it had; what was kept of its output comes first.
   * Also in a guest that was restored from a snapshot. Rejects with VmError when there is no such command, or somebody is connected to it.
   */
  attach(pid: number, options: { signal?: AbortSignal } = {}): Promise<GuestProcess> {
    return attachProcess(this.#control, pid, options.signal);
  }

  /** The workload's processes, those of the commands and all others. */
  processes(signal?: AbortSignal): Promise<ProcessInfo[]> {
    return listProcesses(this.#control, signal);
  }

  /** Sends a signal to any process of the workload; false when there is none of that number. */
  signal(pid: number, signal: NodeJS.Signals | number, group = false): Promise<boolean> {
    return signalProcess(this.#control, pid, signal, group);
  }

  /** Mounts the layers on these LUNs and makes them the workload's root. Once in a guest's life. */
  async assembleRoot(request: AssembleRequest, options: { signal?: AbortSignal } = {}): Promise<void> {
    const timeoutMs = request.timeoutMs ?? ASSEMBLE_TIMEOUT_MS;
    const payload = encodeAssemble({ ...request, timeoutMs });
    // The guest gives up first, and knows what it was waiting for.
    await this.#request(payload, "assemble the root file system", timeoutMs + 5_000, options.signal);
  }

  /**
   * What was written into the root since it was assembled with `keepLayer`: a tar archive with whiteouts, as layers of images are. All
   * processes of the workload are killed before it is read. Fails with GuestFileError or VmError.
   */
  readLayer(leaveOut: LeftOut, signal?: AbortSignal): Readable {
    return openLayer(this.#bulk, leaveOut, signal);
  }

  /** Waits until a process of the workload listens on a TCP port. Rejects with a VmError that names other ports listened on. */
  async awaitListener(port: number, options: { timeoutMs: number; signal?: AbortSignal }): Promise<void> {
    const { timeoutMs, signal } = options;
    // The guest gives up first, and knows what there is instead.
    const payload = encodeAwaitListener(port, timeoutMs);
    await this.#request(payload, `see a listener on port ${port}`, timeoutMs + 5_000, signal);
  }

  /** Mounts a disk with ext4 in the workload's root. Rejects with VmError. */
  async mountVolume(request: VolumeRequest, options: { signal?: AbortSignal } = {}): Promise<void> {
    const what = `mount a volume at ${request.path}`;
    await this.#request(encodeVolume(request), what, MOUNT_TIMEOUT_MS, options.signal);
  }

  /** Mounts files of layers, or memory, in the workload's root. Rejects with VmError. */
  async mount(request: MountRequest, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#request(encodeMount(request), `mount at ${request.path}`, MOUNT_TIMEOUT_MS, options.signal);
  }

  /** Copies what is on a disk with EROFS into the workload's root. Rejects with GuestFileError or VmError. */
  copyIn(request: CopyInRequest, options: CopyOptions = {}): Promise<CopyFigures> {
    return copyIn(this.#bulk, request, options);
  }

  /** Copies files of the workload's root to a disk, as a tar archive of the given length. Rejects with GuestFileError or VmError. */
  copyOut(request: CopyOutRequest, options: CopyOptions = {}): Promise<CopyFigures & { length: number }> {
    return copyOut(this.#bulk, request, options);
  }

  /** Mounts a file system of the host's in the workload's root; `handler` serves it from then on. Rejects with VmError. */
  async mountFuse(request: FuseRequest, handler: FuseHandler, options: { signal?: AbortSignal } = {}): Promise<void> {
    const mounted = mountFuse(this.#bulk, request, handler);
    await this.#within(mounted, MOUNT_TIMEOUT_MS, `the guest to mount ${request.path}`, options.signal);
  }

  /**
   * Makes a socket in the workload's root, whose clients' messages `answer` is asked for, one at a time: a message is its length (u32, big
   * endian) and at most 256 KiB. Disposing of it ends it. Rejects with VmError.
   */
  async openSocket(path: string, answer: AnswerMessage, options: { signal?: AbortSignal } = {}): Promise<Disposable> {
    const opened = openMessageSocket(this.#control, path, answer);
    return this.#within(opened, MOUNT_TIMEOUT_MS, `the guest to make the socket ${path}`, options.signal);
  }

  /** For a snapshot: sends nothing more until {@link resume}, and waits until the agent has taken in what was sent. */
  async quiesce(options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    const both = Promise.all([this.#control.quiesce(), this.#bulk.quiesce()]);
    await this.#within(both, options.timeoutMs ?? QUIESCE_TIMEOUT_MS, "the agent to come to rest", options.signal);
  }

  /** Goes on after {@link quiesce}. The guest's clock, which may have stood still, is set before anything that waited is done. */
  resume(): void {
    const time = addTime(new FieldWriter());
    this.#control.resume(time);
    this.#bulk.resume(time);
  }

  /** Stops the workload and powers the machine off; resolves when the agent says that it is about to. */
  async shutdown(options: { graceMs?: number; timeoutMs?: number } = {}): Promise<void> {
    const graceMs = options.graceMs ?? SHUTDOWN_GRACE_MS;
    await this.#request(encodeShutdown(graceMs), "shut down", options.timeoutMs ?? graceMs + 5_000);
  }

  /** Ends the links; whatever is pending rejects with a VmError. The guest itself goes on. */
  close(error?: Error): void {
    const why = error === undefined ? "" : `: ${error.message}`;
    const failure = new VmError(`The connection to the guest was closed${why}`, { cause: error });
    this.#close(failure, error);
  }

  /** Like {@link close}, but leaves the connections to a session that comes after this one. */
  detach(): void {
    const failure = new VmError("The session with the guest has ended: another one began");
    this.#failure ??= failure;
    this.#control.detach(failure);
    this.#bulk.detach(failure);
    this.#end(undefined);
  }

  #close(failure: VmError, reason: Error | undefined): void {
    if (this.#failure) return;
    this.#failure = failure;
    this.#control.close(failure);
    this.#bulk.close(failure);
    this.#end(reason);
  }

  /** A stream without data: resolves with DONE. */
  #request(payload: Buffer, what: string, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    let close = (): void => {};
    const done = new Promise<void>((resolve, reject) => {
      const stream = this.#control.open(payload, 0, {
        data: () => {},
        end: () => {},
        result: (kind, result) => {
          if (kind === ResultKind.done) resolve();
          else if (kind === ResultKind.failed)
            reject(new VmError(`The guest could not ${what}: ${decodeFailure(result).text}`));
          else throw new Error(`an unexpected RESULT ${kind}`);
          return true;
        },
        failed: reject,
      });
      close = () => stream.close();
    });
    return this.#within(done, timeoutMs, `the guest to ${what}`, signal).finally(close);
  }

  async #within<T>(promise: Promise<T>, timeoutMs: number, what: string, signal?: AbortSignal): Promise<T> {
    const ended = this.closed.then(() => {
      throw this.#failure ?? new VmError("The connection to the guest was closed");
    });
    return withDeadline(Promise.race([promise, ended]), timeoutMs, what, signal);
  }
}

function addIdentity(fields: FieldWriter, identity: SessionIdentity): void {
  addTime(fields).bytes(4, randomBytes(SEED_BYTES));
  if (identity.hostname !== undefined) fields.string(5, identity.hostname);
  if (identity.machineId !== undefined) fields.string(6, identity.machineId);
}

function addTime(fields: FieldWriter): FieldWriter {
  return fields.u64(3, BigInt(Date.now()) * 1_000_000n);
}
