import { once } from "node:events";
import type { Disk } from "../engine/index.js";
import type { ExtraFile, ResourceLimit } from "../guest/index.js";
import {
  emptyRootDisk,
  ensureTemplate,
  Machine,
  type RootDisk,
  type Runtime,
  spares,
  type Template,
  templateSource,
} from "../machine/index.js";
import { DNS_ADDRESSES, Egress, type EgressPolicy } from "../network/index.js";
import type { LongWork } from "../progress.js";
import type { AddedLayer, LayerStore, StoredLayer } from "../rootfs/index.js";
import { attachMounts, type PreparedMounts } from "./mounts/index.js";
import type { MachineSize } from "./options.js";

/** LUN 0 stays free: a controller answers for it even where there is no disk. */
const FIRST_LUN = 1;
const HOSTNAME = "buildkitsandbox";

/** A command of a build. */
export interface MachineCommand {
  argv: readonly string[];
  /** A program that is there while the command runs. */
  file: { path: string; content: string } | undefined;
  env: Readonly<Record<string, string>>;
  cwd: string;
  user: string;
  egress: EgressPolicy;
  rlimits?: readonly ResourceLimit[] | undefined;
  /** Size of /dev/shm; half of the memory by default. */
  shmBytes?: number | undefined;
  /** Addresses by names, for /etc/hosts. */
  hosts?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds after which it is killed. */
  timeoutMs?: number | undefined;
  /** The machine stays when the command fails, and is whoever asked's. */
  keepFailed?: boolean | undefined;
  mounts?: PreparedMounts | undefined;
  onOutput: (stream: "stdout" | "stderr", bytes: Buffer) => void;
}

/** How a command ended, and the layer that it has made, if it ended well. */
export interface MachineResult {
  exitCode: number | null;
  signal: string | null;
  /** It was killed because it ran longer than its `timeoutMs`. */
  isLate?: boolean | undefined;
  layer: AddedLayer | undefined;
  /** Of a command that failed and asked for it. */
  machine?: Machine | undefined;
}

/** Runs commands of builds, each in a machine of its own that is restored from one template. */
export class BuildMachines implements Disposable {
  readonly #runtime: Runtime;
  readonly #size: MachineSize;
  readonly #atOnce: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  #template: Promise<Template> | undefined;
  #wish: Disposable | undefined;

  /** @param atOnce how many commands run at a time */
  constructor(runtime: Runtime, size: MachineSize, atOnce = 1) {
    this.#runtime = runtime;
    this.#size = size;
    this.#atOnce = atOnce;
  }

  [Symbol.dispose](): void {
    this.#wish?.[Symbol.dispose]();
  }

  /** Runs a command on layers (lowest first) and keeps what it writes as one more layer in `store`. */
  async run(
    layers: readonly StoredLayer[],
    command: MachineCommand,
    store: LayerStore,
    work: LongWork,
  ): Promise<MachineResult> {
    const template = await this.#prepare(work);
    const { signal } = work;
    using _turn = await this.#turn(signal);
    const machine = await Machine.restore(this.#runtime, await templateSource(template), { signal });
    let isKept = false;
    try {
      const rootDisk = await emptyRootDisk(this.#size.diskMiB, work);
      const attached = await assemble(machine, layers, rootDisk, command, signal);
      const ended = await runCommand(machine, command, signal);
      isKept = ended.exitCode !== 0 && command.keepFailed === true;
      if (isKept) return { ...ended, layer: undefined, machine };
      attached[Symbol.dispose]();
      if (ended.exitCode !== 0) return { ...ended, layer: undefined };
      const archive = machine.agent.readLayer(leftOut(command.mounts), signal);
      return { exitCode: 0, signal: null, layer: await store.add(archive, signal) };
    } finally {
      if (!isKept) await machine.stop();
    }
  }

  /** Waits until one more may run. */
  async #turn(signal: AbortSignal | undefined): Promise<Disposable> {
    while (this.#running >= this.#atOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    const end = () => {
      this.#running--;
      this.#waiting.shift()?.();
    };
    // Those that wait are woken one by one as the running ones end, which an abort makes them do.
    if (signal?.aborted) end();
    signal?.throwIfAborted();
    return { [Symbol.dispose]: end };
  }

  /** Boots the template if there is none. While one command runs, the machine of the next is prepared. */
  async #prepare(work: LongWork): Promise<Template> {
    this.#template ??= ensureTemplate(this.#runtime, this.#size, work);
    try {
      const template = await this.#template;
      this.#wish ??= spares.wish(this.#runtime, template, 1);
      return template;
    } catch (error) {
      this.#template = undefined;
      throw error;
    }
  }
}

/** As in every container; they lie over the files of the image, and are in no layer. */
function covered(hosts: MachineCommand["hosts"] = {}): ExtraFile[] {
  const own = `127.0.0.1\tlocalhost ${HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
  const more = Object.entries(hosts).map(([name, address]) => `${address}\t${name}\n`);
  return [
    { path: "/etc/hostname", mode: 0o644, content: `${HOSTNAME}\n` },
    { path: "/etc/hosts", mode: 0o644, content: own + more.join("") },
    { path: "/etc/resolv.conf", mode: 0o644, content: `nameserver ${DNS_ADDRESSES[0]}\n` },
  ];
}

/** What was made to mount upon. */
function leftOut(mounts: PreparedMounts | undefined) {
  const { folders = [], files = [] } = mounts?.places ?? {};
  const deeperFirst = [...folders].sort((a, b) => b.split("/").length - a.split("/").length);
  return { files: [...covered().map(({ path }) => path), ...files], folders: deeperFirst };
}

async function assemble(
  machine: Machine,
  layers: readonly StoredLayer[],
  rootDisk: RootDisk,
  { mounts, hosts, shmBytes }: MachineCommand,
  signal: AbortSignal | undefined,
): Promise<Disposable> {
  const disks = layers.map(({ path }, index): Disk => ({ lun: FIRST_LUN + index, path }));
  await machine.attachDisks(disks);
  const luns = disks.map(({ lun }) => lun);
  await machine.giveRootDisk(rootDisk);
  const { folders: places = [], files: targets = [] } = mounts?.places ?? {};
  const files = [...covered(hosts), ...targets.map((path) => ({ path, mode: 0o644, content: "" }))];
  const request = {
    luns,
    hostname: HOSTNAME,
    files,
    keepLayer: true,
    places,
    diskLun: rootDisk.lun,
    ...(shmBytes !== undefined && { shmBytes }),
  };
  await machine.agent.assembleRoot(request, signal ? { signal } : {});
  return attachMounts(machine, mounts?.mounts ?? [], signal);
}

async function runCommand(
  machine: Machine,
  command: MachineCommand,
  signal: AbortSignal | undefined,
): Promise<Pick<MachineResult, "exitCode" | "signal" | "isLate">> {
  const { argv, file, env, cwd, user, egress, rlimits = [], timeoutMs, onOutput } = command;
  let timer: NodeJS.Timeout | undefined;
  const network = Egress.open(machine.agent.network, { policy: egress });
  try {
    if (file) {
      const how = { mode: 0o755, createParents: true, ...(signal && { signal }) };
      await machine.agent.files.write(file.path, file.content, how);
    }
    const request = { argv, env, cwd, user, rlimits, createCwd: true, link: "control" as const };
    const process = await machine.agent.exec(request, signal ? { signal } : {});
    process.stdout.on("data", (bytes: Buffer) => onOutput("stdout", bytes));
    process.stderr.on("data", (bytes: Buffer) => onOutput("stderr", bytes));
    const ended = [process.stdout, process.stderr].map((stream) => once(stream, "close"));
    const all = Promise.all([process.wait(), ...ended]).then(([{ exitCode, signal }]) => ({ exitCode, signal }));
    if (timeoutMs === undefined) return await all;
    const late = new Promise<Pick<MachineResult, "exitCode" | "signal" | "isLate">>((resolve) => {
      timer = setTimeout(() => {
        process.kill("SIGKILL");
        // What it has started may hold its output open; the end of the machine ends that too.
        resolve({ exitCode: null, signal: "SIGKILL", isLate: true });
      }, timeoutMs);
    });
    return await Promise.race([all, late]);
  } finally {
    clearTimeout(timer);
    network.close();
  }
}
