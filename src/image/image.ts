import { randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { UsageError } from "../errors.js";
import type { SessionIdentity } from "../guest/index.js";
import {
  forkMachine,
  Machine,
  openRuntime,
  type RestoreOptions,
  type RestoreSource,
  type Runtime,
  waitingCommand,
} from "../machine/index.js";
import {
  checkPolicy,
  DEFAULT_EGRESS,
  type EgressPolicy,
  type NetworkOptions,
  type PublishOptions,
} from "../network/index.js";
import type { PoolOptions } from "../pool/index.js";
import type { LongWork } from "../progress.js";
import { acquireLock, home, lease, rememberRoot, replace } from "../store/index.js";
import { type CapturedVm, type PooledVm, type RunConfiguration, Vm, type VmOrigin } from "../vm/index.js";
import { captureSnapshot } from "./bake.js";
import { bakeImage } from "./bake-image.js";
import { snapshotId, takeBaked } from "./baked.js";
import { runtimeOf } from "./bundle/open-bundle.js";
import { loadSnapshot, requireLayers } from "./load-snapshot.js";
import { METADATA_FILE, readMetadata, type SnapshotMetadata } from "./metadata.js";
import { checkName, isName, nameOfFolder, snapshotFolder } from "./name.js";
import { type BakeOptions, DEFAULT_GUEST_PORT, DEFAULT_HOSTNAME } from "./options.js";
import { type AcquireVmOptions, defaultPool, Pool } from "./pool.js";
import type { Ready } from "./ready.js";
import { requireBakedAs } from "./required-options.js";
import { requireTemplate } from "./required-template.js";
import { attachStorage, holdStorage, type StorageOptions } from "./storage.js";

/** How a VM is started. */
export interface StartOptions extends StorageOptions, NetworkOptions {
  /** Host name and machine id of this VM; by default those of the image. */
  identity?: SessionIdentity;
  /** Ports of the VM that are reachable on the host; see {@link Vm.exposed}. */
  publish?: readonly PublishOptions[] | undefined;
  /**
   * Whether the image's own command is started, if the image was baked for that (`before-workload`), or connected to, if it runs in the
   * snapshot; true by default.
   */
  workload?: boolean;
  signal?: AbortSignal;
}

/** A snapshot of a guest together with how to run it: what microVMs are started from. */
export class Image {
  readonly #runtime: Runtime;
  readonly #metadata: SnapshotMetadata;
  #source: Promise<RestoreSource> | undefined;
  /** Folder of the snapshot. */
  readonly snapshotPath: string;

  private constructor(runtime: Runtime, snapshotPath: string, metadata: SnapshotMetadata) {
    this.#runtime = runtime;
    this.#metadata = metadata;
    this.snapshotPath = snapshotPath;
  }

  /**
   * Bakes an image, or finds it baked already.
   * @param reference `oci-layout:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker:NAME`, `podman:NAME` or a registry's image name
   * @throws ImageError, ImageNotFoundError, RegistryAuthError, RegistryUnreachableError, BakeError, AssetsError
   */
  static async fromOci(reference: string, options: BakeOptions = {}): Promise<Image> {
    const runtime = await openRuntime(options);
    const folder = await bakeImage(runtime, reference, options);
    return Image.openWith(runtime, folder, options.signal);
  }

  /** Like {@link fromOci} under a fixed name; an older snapshot of that name is replaced when it was baked from something else. */
  static async ensureBaked(name: string, reference: string, options: BakeOptions = {}): Promise<Image> {
    return Image.fromOci(reference, { ...options, name: checkName(name) });
  }

  /**
   * What a user types as IMAGE: the name of a snapshot, if there is one, or the path of a snapshot's or bundle's folder (it begins
   * with `/`, `./` or `../`), else a reference for {@link fromOci}.
   */
  static async open(text: string, options: BakeOptions = {}): Promise<Image> {
    const folder = snapshotFolder(text, options);
    if (folder === undefined || (isName(text) && !(await exists(join(folder, METADATA_FILE)))))
      return Image.fromOci(text, options);
    const image = await Image.fromSnapshot(folder, options);
    requireBakedAs(image.#metadata, options);
    return image;
  }

  /**
   * Opens the snapshot in a folder.
   * @throws ImageNotFoundError, CacheMissError, CacheInvalidError when it does not fit this host's engine
   */
  static async fromSnapshot(path: string, options: LongWork = {}): Promise<Image> {
    const folder = resolve(path);
    return Image.openWith(await runtimeOf(folder, options), folder, options.signal);
  }

  /** @internal Opens the snapshot in a folder for whoever has a runtime already: finding one takes longer than all the rest. */
  static async openWith(runtime: Runtime, folder: string, signal?: AbortSignal): Promise<Image> {
    const metadata = await readMetadata(folder);
    const { id } = await requireTemplate(runtime, metadata, folder, signal);
    // That of a bundle has another id here.
    return new Image(runtime, folder, { ...metadata, template: { ...metadata.template, id } });
  }

  get name(): string {
    return this.#metadata.name;
  }

  /** What it was baked from, as the user wrote it. */
  get reference(): string {
    return this.#metadata.reference;
  }

  /** Entrypoint, arguments, environment, working directory and user of the image's processes. */
  get config(): RunConfiguration {
    return structuredClone(this.#metadata.config);
  }

  get memoryMiB(): number {
    return this.#metadata.template.memoryMiB;
  }

  /** Size of the disk that VMs have for what they write to their root; `undefined` when that is kept in memory. */
  get diskMiB(): number | undefined {
    return this.#metadata.rootDisk?.sizeMiB;
  }

  get vcpus(): number {
    return this.#metadata.template.vcpus;
  }

  /** At which moment the snapshot was taken. */
  get ready(): Ready {
    return this.#metadata.ready ?? "start";
  }

  /** The TCP port that the image's own command listens on. */
  get guestPort(): number {
    return this.#metadata.guestPort ?? DEFAULT_GUEST_PORT;
  }

  /** The process id of the image's own command, where that runs in the snapshot: what `vm.attach` takes. */
  get workloadPid(): number | undefined {
    return this.#metadata.workloadPid;
  }

  /** @internal How often processes had been ended for want of memory in the guest that the snapshot holds, if that is known. */
  get oomKills(): number | undefined {
    const { oomKills, captured, workloadPid } = this.#metadata;
    const hasRun = captured === true || workloadPid !== undefined;
    return oomKills ?? (hasRun ? undefined : 0);
  }

  /** @internal The command that a worker for it is started with, unless each one has files of its own. */
  async workerCommand(): Promise<string[] | undefined> {
    if (this.#metadata.rootDisk) return undefined;
    const template = await requireTemplate(this.#runtime, this.#metadata, this.snapshotPath);
    return waitingCommand(this.#runtime, template, this.#metadata.layers);
  }

  /** Starts a microVM by restoring the snapshot. @throws VmError, CacheInvalidError, CacheMissError, UsageError */
  async start(options: StartOptions = {}): Promise<Vm> {
    return (await this.#begin(options)).vm;
  }

  /**
   * A clean microVM out of the pool that all users of this snapshot in this process share, with the default {@link PoolOptions}.
   * @throws PoolExhaustedError when there is none in time, VmError, CacheInvalidError, CacheMissError
   */
  acquire(options: AcquireVmOptions = {}): Promise<Vm> {
    const pool = defaultPool(snapshotId(this.snapshotPath, this.#metadata), () => this.pool());
    return pool.acquire(options);
  }

  /** A pool of its own that keeps microVMs of this image ready. Close it when it is not needed any more. @throws UsageError */
  pool(options: PoolOptions = {}): Pool {
    const image = {
      memoryMiB: this.memoryMiB,
      user: this.#metadata.config.user,
      template: async () => (await this.#loaded()).template,
      restore: async (how: RestoreOptions) => {
        const { machine, vm } = await this.#begin(how);
        return { machine, workload: vm.workload };
      },
      vmOf: (machine: Machine, pooled: PooledVm, network: NetworkOptions) =>
        new Vm(machine, this.#origin(network), {}, pooled),
    };
    return new Pool(this.#runtime, image, options);
  }

  /** Restores a machine, with its folders and volumes, and the image's own command started where the image was baked for that. */
  async #begin(
    options: RestoreOptions & StorageOptions & NetworkOptions & Pick<StartOptions, "workload" | "publish">,
  ): Promise<{ machine: Machine; vm: Vm }> {
    const origin = this.#origin(options);
    const storage = await holdStorage(options, this.#metadata.config.user);
    const machine = await this.#restore(options).catch((error: unknown) => {
      storage[Symbol.dispose]();
      throw error;
    });
    void machine.ended.then(() => storage[Symbol.dispose]());
    try {
      await attachStorage(machine, storage, options.signal);
      const vm = new Vm(machine, origin, options.identity);
      const { workloadPid } = this.#metadata;
      if (workloadPid !== undefined && options.workload !== false) await vm.attachWorkload(workloadPid);
      for (const each of options.publish ?? []) await vm.expose(each);
      if (this.ready !== "before-workload" || options.workload === false) return { machine, vm };
      await vm.startWorkload();
      options.signal?.throwIfAborted();
      return { machine, vm };
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /** The machine that this snapshot was just taken of, if nobody took it yet, or a restored one. */
  async #restore(options: RestoreOptions): Promise<Machine> {
    const baked = await takeBaked(snapshotId(this.snapshotPath, this.#metadata), options);
    if (!baked) return Machine.restore(this.#runtime, await this.#loaded(), options);
    // It was counted when it was started.
    options.memory?.[Symbol.dispose]();
    return baked;
  }

  /** What a VM is told of this image. @throws UsageError when the policy is wrong */
  #origin({ egress = this.#metadata.egress ?? DEFAULT_EGRESS, onEgress }: NetworkOptions): VmOrigin {
    const policy = checkPolicy(egress);
    return {
      config: this.config,
      egress: { policy, onEgress },
      hostname: this.#metadata.hostname ?? DEFAULT_HOSTNAME,
      snapshot: (running, folder, about) => this.#snapshot(running, folder, { ...about, egress: policy }),
      fork: (running, identities, signal) => forkMachine(this.#runtime, running, identities, signal),
    };
  }

  /** What is restored, read once. */
  async #loaded(): Promise<RestoreSource> {
    if (!this.#source) {
      this.#source = loadSnapshot(this.#runtime, this.snapshotPath, this.#metadata);
      // A failure may be mended (a layer put back), so it is not remembered.
      this.#source
        .then(({ state }) => state)
        .catch(() => {
          this.#source = undefined;
        });
    }
    return this.#source;
  }

  async #snapshot(machine: Machine, path: string, own: CapturedVm & { egress: EgressPolicy }): Promise<Image> {
    const folder = resolve(path);
    await using _lock = await acquireLock(`${folder}.lock`);
    if (await exists(folder)) throw new UsageError(`${folder} is there already`, { hint: "Name a new folder." });
    // Whatever runs in it is in the snapshot: nothing is started anew with its VMs.
    const taken = {
      name: nameOfFolder(folder),
      key: randomUUID(),
      ...own,
      ready: "start" as const,
      captured: true,
      bundled: false,
      oomKills: undefined,
    };
    const about = { ...this.#metadata, ...taken };
    // What was removed while the VM ran is still open in it, but a snapshot could not be started.
    await using _lease = await lease([home().templates, ...about.layers.map((layer) => layer.path)]);
    await requireTemplate(this.#runtime, this.#metadata, this.snapshotPath);
    await requireLayers(about);
    await rememberRoot(folder);
    await replace(folder, (partial) => captureSnapshot(machine, this.#runtime, partial, about));
    return await Image.openWith(this.#runtime, folder);
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
