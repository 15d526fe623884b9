import type { Duplex, Readable } from "node:stream";
import { VmError } from "../errors.js";
import type { CopyFigures, ProcessInfo, SessionIdentity } from "../guest/index.js";
import type { Image } from "../image/index.js";
import { isolation, type Machine, type MemoryUsage, processorTime } from "../machine/index.js";
import {
  checkPort,
  connectToPort,
  Egress,
  type ExposedPort,
  type ExposeOptions,
  type ListeningPort,
  type PublishOptions,
} from "../network/index.js";
import {
  type CopyInOptions,
  type CopyOutOptions,
  copyIn,
  copyInArchive,
  copyOut,
  copyOutArchive,
  type Extracted,
} from "./copy/index.js";
import { type ExecOptions, execRequest, type RunOptions, type RunResult } from "./exec-options.js";
import { VmFiles, type WriteFileOptions } from "./files.js";
import { cloneIdentities, type Fork, type ForkOptions, forkOf } from "./fork.js";
import { copyPath, guestPath } from "./guest-path.js";
import type { PooledVm, VmOrigin } from "./origin.js";
import { VmPorts } from "./ports.js";
import { VmProcess } from "./process.js";
import { runCommand } from "./run.js";
import { type CommandChanges, imageCommand } from "./run-configuration.js";
import { stageLarge } from "./stage.js";
import { Workload } from "./workload.js";

const DEFAULT_GRACE_MS = 5_000;

/** A running microVM. */
export class Vm implements AsyncDisposable {
  readonly #own: Machine;
  readonly #origin: VmOrigin;
  readonly #egress: Pick<Egress, "close">;
  readonly #ports: VmPorts;
  readonly #giveBack: (() => void | Promise<void>) | undefined;
  #released: Promise<void> | undefined;
  #workload: Workload | undefined;
  #workloadPid: number | undefined;

  /** The host name that it was given. */
  readonly hostname: string;

  constructor(machine: Machine, origin: VmOrigin, identity: SessionIdentity = {}, pooled?: PooledVm) {
    this.#own = machine;
    this.#origin = origin;
    this.#giveBack = pooled?.giveBack;
    this.#workload = pooled?.workload;
    this.hostname = identity.hostname ?? origin.hostname;
    this.#egress = Egress.open(machine.agent.network, origin.egress);
    this.#ports = new VmPorts(machine.agent);
    void machine.agent.closed.then(() => this.#closeNetwork());
  }

  /** Process id of the hypervisor that runs this VM. */
  get pid(): number {
    return this.#own.pid;
  }

  /** How strongly this VM is separated from the host: `hardware (kvm)`, `emulated (tcg)`, ... */
  get isolation(): string {
    return isolation(this.#own.template.hardware.accelerator);
  }

  /**
   * Starts a command and gives its process as soon as it runs.
   * @throws ExecFailure when it cannot be started (`errno` is the guest's), VmError when the VM is gone
   */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<VmProcess> {
    const { agent } = this.#machine;
    const { signal } = options;
    const request = { ...execRequest(this.#origin.config, argv, options), link: "control" as const };
    return new VmProcess(await agent.exec(await stageLarge(agent, request, signal), signal ? { signal } : {}));
  }

  /**
   * Connects to a command that was started with `keepOutput` and that nobody is connected to, by the pid that it had: in this VM, or in
   * one that it was restored or forked from. What was kept of its output comes first, then what it writes from now on; it may have
   * ended, too. @throws VmError when there is no such command
   */
  async attach(pid: number, options: { signal?: AbortSignal } = {}): Promise<VmProcess> {
    return new VmProcess(await this.#machine.agent.attach(pid, options));
  }

  /** What runs in the VM: commands, and what they have started. @throws VmError */
  processes(options: { signal?: AbortSignal } = {}): Promise<ProcessInfo[]> {
    return this.#machine.agent.processes(options.signal);
  }

  /**
   * Sends a signal, SIGTERM by default, to any process of the VM, or with `group` to the process group that it leads. False when there is
   * no such process. @throws VmError
   */
  signal(
    pid: number,
    signal: NodeJS.Signals | number = "SIGTERM",
    options: { group?: boolean } = {},
  ): Promise<boolean> {
    return this.#machine.agent.signal(pid, signal, options.group);
  }

  /** Starts the image's own command: its entrypoint with its arguments, or with other ones as docker combines them. */
  async start(options: ExecOptions & CommandChanges = {}): Promise<VmProcess> {
    return this.exec(imageCommand(this.#origin.config, options), options);
  }

  /** Like {@link start}, but as a service that nobody needs to read from; from then on it is {@link workload}. */
  async startWorkload(options: Omit<ExecOptions, "stdin" | "tty"> & CommandChanges = {}): Promise<Workload> {
    this.#workload = new Workload(await this.start({ ...options, stdin: "ignore", keepOutput: true }));
    return this.#workload;
  }

  /**
   * The image's own command, where it runs as a service: started with this VM (images baked with `ready: "before-workload"`) or by
   * {@link startWorkload}, or running already in the snapshot (`ready: "listener"`) or in the VM that this one is a fork of.
   */
  get workload(): Workload | undefined {
    return this.#workload;
  }

  /** Makes a command that was started with `keepOutput`, and that the caller reads, the workload of snapshots of this VM. */
  adoptWorkload({ pid }: VmProcess): void {
    this.#workloadPid = pid;
  }

  /** Connects to the workload that this VM was restored with. One that has ended meanwhile, and was heard of, is none. */
  async attachWorkload(pid: number): Promise<void> {
    const process = await this.attach(pid).catch(() => undefined);
    this.#workload = process && new Workload(process);
  }

  /**
   * Runs a command to its end. One that cannot be started gives the exit code 127 (not found) or 126 (not executable) and a
   * line on stderr, one that is killed by a signal 128 and the signal's number, as in a shell.
   * @throws ExecTimeoutError after `timeoutMs`, VmError when the VM is gone
   */
  async run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runCommand(this.#machine.agent, this.#origin.config, argv, options);
  }

  /** What else can be done with files: list, watch, remove, rename, streams, ... */
  get files(): VmFiles {
    return new VmFiles(this.#machine.agent.files, this.#origin.config.workdir);
  }

  /** Reads a file. A relative path starts at the image's working directory. @throws GuestFileError */
  readFile(path: string, options: { signal?: AbortSignal }): Promise<Buffer>;
  readFile(path: string, options: { encoding: BufferEncoding; signal?: AbortSignal } | BufferEncoding): Promise<string>;
  readFile(path: string): Promise<Buffer>;
  async readFile(
    path: string,
    options: { encoding?: BufferEncoding; signal?: AbortSignal } | BufferEncoding = {},
  ): Promise<Buffer | string> {
    const { encoding, signal } =
      typeof options === "string" ? { encoding: options } : { signal: undefined, ...options };
    const content = await this.#machine.agent.files.read(this.#path(path), signal ? { signal } : {});
    return encoding ? content.toString(encoding) : content;
  }

  /** Writes a file of any size: whole or not at all. @throws GuestFileError */
  async writeFile(path: string, data: string | Uint8Array | Readable, options: WriteFileOptions = {}): Promise<void> {
    await this.#machine.agent.files.write(this.#path(path), data, options);
  }

  /**
   * Copies a file or a folder with all below it into the guest, of any size and number of files, with owners, modes, times, extended
   * attributes, links and holes. The destination is as docker cp has it: in a folder that is there the copy gets its own name, else it
   * gets the destination's; `FOLDER/.` means what is in the folder. Files that are there are replaced, folders merged.
   * A folder that was not there is there as a whole or not at all. Gives what was copied.
   * @throws CopyError for what cannot be read here, GuestFileError, NoSpaceError, VmError
   */
  async copyIn(hostPath: string, guestPath: string, options: CopyInOptions = {}): Promise<CopyFigures> {
    return copyIn(this.#machine, hostPath, this.#copyPath(guestPath), options);
  }

  /**
   * Copies a file or a folder with all below it out of the guest, to where docker cp would put it. What the guest sends is taken for
   * hostile: nothing is made but below the destination, no link is followed, devices and pipes are left out, and so are links that lead out of the
   * copy; set-user-ID is taken away. A destination that was not there is there as a whole or not at all.
   * @throws GuestFileError, CopyError for what cannot be made here, NoSpaceError, VmError
   */
  async copyOut(guestPath: string, hostPath: string, options: CopyOutOptions = {}): Promise<Extracted> {
    return copyOut(this.#machine, this.#copyPath(guestPath), hostPath, options);
  }

  /** Copies what is in a tar archive (plain, gzip or zstd) into a folder of the guest. @throws CopyError, GuestFileError, NoSpaceError, VmError */
  async copyInArchive(
    archive: AsyncIterable<Uint8Array>,
    guestPath: string,
    options: Pick<CopyInOptions, "owner" | "onProgress" | "signal"> = {},
  ): Promise<CopyFigures> {
    return copyInArchive(this.#machine, archive, this.#path(guestPath), options);
  }

  /** The same as {@link copyOut} as a tar archive, as the guest wrote it: whoever unpacks it takes care. */
  async copyOutArchive(
    guestPath: string,
    options: Pick<CopyOutOptions, "followSymlinks" | "oneFileSystem" | "maxBytes" | "onProgress" | "signal"> = {},
  ): Promise<Readable> {
    return copyOutArchive(this.#machine, this.#copyPath(guestPath), options);
  }

  /**
   * Connects to a TCP port that a program of the guest listens on: at `host` if it is given, else on its loopback or its own
   * address. Ending the stream closes one direction, destroying it resets the connection.
   * @throws GuestConnectionError with the guest's `errno`, such as `ECONNREFUSED`
   */
  async connect(port: number, options: { host?: string; signal?: AbortSignal } = {}): Promise<Duplex> {
    return connectToPort(this.#machine.agent.network, port, options);
  }

  /** Makes a TCP port of the guest reachable on the host until it is closed or the VM ends. @throws NetworkError, UsageError */
  async exposeTcp(options: ExposeOptions): Promise<ExposedPort> {
    this.#requireMine();
    return this.#ports.expose("tcp", options);
  }

  /** The same for a UDP port that is listened on at the guest's loopback, or everywhere. @throws NetworkError, UsageError */
  async exposeUdp(options: ExposeOptions): Promise<ExposedPort> {
    this.#requireMine();
    return this.#ports.expose("udp", options);
  }

  /** {@link exposeTcp} or {@link exposeUdp}. */
  expose(options: PublishOptions): Promise<ExposedPort> {
    return options.protocol === "udp" ? this.exposeUdp(options) : this.exposeTcp(options);
  }

  /** The ports that are reachable on the host. */
  get exposed(): readonly ExposedPort[] {
    return this.#ports.exposed;
  }

  /** The ports that programs of the guest listen on. */
  async ports(options: { signal?: AbortSignal } = {}): Promise<ListeningPort[]> {
    this.#requireMine();
    return this.#ports.listening(options.signal);
  }

  /** The ports that are listened on now, and again whenever they have changed; looked at every `intervalMs`, 250 by default. */
  watchPorts(options: { intervalMs?: number; signal?: AbortSignal } = {}): AsyncIterable<ListeningPort[]> {
    this.#requireMine();
    return this.#ports.watch(options.intervalMs ?? 250, options.signal);
  }

  /** Resolves when a program of the guest listens on the TCP port. Waits for 30 s by default. @throws VmError that names other ports */
  async waitForPort(port: number, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    checkPort("port", port);
    await this.#machine.agent.awaitListener(port, { timeoutMs: 30_000, ...options });
  }

  /** Captures the VM, with its processes and memory, as a snapshot in the new folder `folder`; the VM runs on. */
  async snapshot(folder: string): Promise<Image> {
    const workloadPid = this.#workload?.pid ?? this.#workloadPid;
    return this.#origin.snapshot(this.#machine, folder, { hostname: this.hostname, workloadPid });
  }

  /**
   * Clones the VM: each clone is a live VM with the memory, processes and open files that this one has now, but with randomness, time,
   * host name and machine id of its own. Streams of this VM (a command's output, its input) stay with this VM alone: in
   * a clone such a command runs on, its input at its end and its output read by nobody. This VM stands still for some
   * milliseconds only. Clones that could not be made are listed in the result's `failures`.
   * @throws UsageError, VmError when this VM cannot be captured
   */
  async fork(options: ForkOptions = {}): Promise<Fork> {
    const identities = cloneIdentities(options, this.hostname);
    const forked = await this.#origin.fork(this.#machine, identities, options.signal);
    const fork = forkOf(forked, (machine, index) => new Vm(machine, this.#origin, identities[index]));
    const pid = this.#workload?.pid;
    if (pid !== undefined) await Promise.all(fork.vms.map((clone) => clone.attachWorkload(pid)));
    return fork;
  }

  /**
   * Lets the guest stand still until {@link resume}. Commands, input and file operations begun or going on meanwhile wait (their
   * own time limits run on); snapshots and forks can be taken. Pausing a paused VM does nothing.
   */
  async pause(): Promise<void> {
    return this.#machine.pause();
  }

  /** Lets a paused guest go on. Its wall clock is right before anything that waited is done. */
  async resume(): Promise<void> {
    return this.#machine.resume();
  }

  /** What the VM takes of the host's memory, and whether it shares its template's. Linux only. @throws VmError */
  async memory(): Promise<MemoryUsage> {
    return this.#machine.memory();
  }

  /** Processor time that the VM's hypervisor has used so far, in milliseconds, to 10 ms. `undefined` but on Linux. */
  processorTime(): Promise<number | undefined> {
    return processorTime(this.pid);
  }

  /** Whether the guest stands still because of {@link pause}. */
  get paused(): boolean {
    return this.#own.paused;
  }

  /**
   * Ends the VM in order: its processes get SIGTERM and `graceMs` (5 s by default) to end, then it is powered off.
   * Resolves when nothing of it is left. A pool replaces what is stopped.
   */
  async stop(options: { graceMs?: number } = {}): Promise<void> {
    if (!this.#released) await this.#own.stop({ graceMs: options.graceMs ?? DEFAULT_GRACE_MS });
  }

  /**
   * Ends the VM at once; resolves when nothing of it is left. A VM of a pool goes back there instead, without waiting for its end
   * unless it has folders or volumes, and cannot be used any more. More than once is harmless.
   */
  async release(): Promise<void> {
    if (!this.#giveBack) return this.#own.stop();
    this.#released ??= this.#handBack(this.#giveBack);
    await this.#released;
  }

  /** The same as {@link release}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #handBack(giveBack: () => void | Promise<void>): Promise<void> {
    this.#closeNetwork();
    await giveBack();
  }

  #closeNetwork(): void {
    this.#egress.close();
    this.#ports.close();
  }

  /** What was given back may be somebody else's by now. */
  #requireMine(): void {
    if (this.#released) throw new VmError("this microVM was given back to its pool", { hint: "Acquire another one." });
  }

  get #machine(): Machine {
    this.#requireMine();
    return this.#own;
  }

  /** What follows the last slash counts. */
  #copyPath(path: string): string {
    return copyPath(this.#origin.config.workdir, path);
  }

  #path(path: string): string {
    return guestPath(this.#origin.config.workdir, path);
  }
}
