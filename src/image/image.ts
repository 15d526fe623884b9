import { randomUUID } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { CacheInvalidError, CacheMissError, UsageError } from "../errors.js";
import type { SessionIdentity } from "../guest/index.js";
import {
  CAPTURE_FILES,
  forkMachine,
  Machine,
  openRuntime,
  type RestoreOptions,
  type RestoreSource,
  type Runtime,
} from "../machine/index.js";
import { Delta } from "../memory/index.js";
import {
  checkPolicy,
  DEFAULT_EGRESS,
  type EgressPolicy,
  type NetworkOptions,
  type PublishOptions,
} from "../network/index.js";
import { isFor, parsePlatform } from "../oci/index.js";
import type { PoolOptions } from "../pool/index.js";
import type { LongWork } from "../progress.js";
import { acquireLock, home, lease, rememberRoot, replace } from "../store/index.js";
import { type CapturedVm, type PooledVm, type RunConfiguration, Vm, type VmOrigin } from "../vm/index.js";
import { captureSnapshot, isWholeDeviceState } from "./bake.js";
import { bakeImage } from "./bake-image.js";
import { snapshotId, takeBaked } from "./baked.js";
import { runtimeOf } from "./bundle/open-bundle.js";
import { settingsKey } from "./guest-settings.js";
import { METADATA_FILE, readMetadata, type SnapshotMetadata } from "./metadata.js";
import {
  type BakeOptions,
  checkName,
  DEFAULT_GUEST_PORT,
  DEFAULT_HOSTNAME,
  isName,
  snapshotFolder,
} from "./options.js";
import { type AcquireVmOptions, defaultPool, Pool } from "./pool.js";
import type { Ready } from "./ready.js";
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
    return Image.#open(runtime, folder);
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
    return image.#requireSize(options).#requirePlatform(options).#requireNoSettings(options);
  }

  /**
   * Opens the snapshot in a folder.
   * @throws ImageNotFoundError, CacheMissError, CacheInvalidError when it does not fit this host's engine
   */
  static async fromSnapshot(path: string, options: LongWork = {}): Promise<Image> {
    const folder = resolve(path);
    return Image.#open(await runtimeOf(folder, options), folder, options.signal);
  }

  static async #open(runtime: Runtime, folder: string, signal?: AbortSignal): Promise<Image> {
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

  #requireSize({ memoryMiB = this.memoryMiB, vcpus = this.vcpus }: BakeOptions): this {
    if (memoryMiB === this.memoryMiB && vcpus === this.vcpus) return this;
    throw new UsageError(
      `the snapshot ${this.name} has ${this.memoryMiB} MiB and ${this.vcpus} vCPU; that cannot be changed`,
      {
        hint: `Bake another one from ${this.#metadata.reference}.`,
      },
    );
  }

  #requireNoSettings(options: BakeOptions): this {
    const { ulimits = {}, hostname } = options;
    const isChanged = hostname !== undefined && hostname !== this.#metadata.hostname;
    if (!isChanged && Object.keys(ulimits).length === 0 && settingsKey(options) === undefined) return this;
    throw new UsageError(`the snapshot ${this.name} has the host name, limits and settings that it was baked with`, {
      hint: `Bake another one from ${this.#metadata.reference}.`,
    });
  }

  #requirePlatform({ platform }: BakeOptions): this {
    const own = this.#metadata.platform;
    if (platform === undefined || own === undefined || isFor(parsePlatform(platform), parsePlatform(own))) return this;
    throw new UsageError(`the snapshot ${this.name} is for ${own}, not for ${platform}`, {
      hint: `Bake another one from ${this.#metadata.reference}.`,
    });
  }

  /** What is restored, read once. */
  async #loaded(): Promise<RestoreSource> {
    this.#source ??= this.#load();
    try {
      return await this.#source;
    } catch (error) {
      // A failure may be mended (a layer put back), so it is not remembered.
      this.#source = undefined;
      throw error;
    }
  }

  async #load(): Promise<RestoreSource> {
    const { layers } = this.#metadata;
    const template = await requireTemplate(this.#runtime, this.#metadata, this.snapshotPath);
    for (const { path } of layers) await requireFile(path, "layer");
    const statePath = join(this.snapshotPath, CAPTURE_FILES.deviceState);
    const deltaPath = join(this.snapshotPath, CAPTURE_FILES.delta);
    for (const path of [statePath, deltaPath]) await requireFile(path, "snapshot's");
    const [deviceState, delta] = await Promise.all([readFile(statePath), Delta.read(deltaPath)]).catch(
      removedMeanwhile,
    );
    if (!isWholeDeviceState(deviceState, this.#metadata)) {
      throw new CacheInvalidError(`the device state ${statePath} is truncated or corrupt`, {
        hint: "Remove the snapshot (`supermachine rmi`); the next run bakes it anew.",
      });
    }
    return { template, disks: layers, delta, deviceState };
  }

  async #snapshot(machine: Machine, path: string, own: CapturedVm & { egress: EgressPolicy }): Promise<Image> {
    const folder = resolve(path);
    await using _lock = await acquireLock(`${folder}.lock`);
    if (await exists(folder)) throw new UsageError(`${folder} is there already`, { hint: "Name a new folder." });
    // Whatever runs in it is in the snapshot: nothing is started anew with its VMs.
    const taken = {
      name: basename(folder),
      key: randomUUID(),
      ...own,
      ready: "start" as const,
      captured: true,
      bundled: false,
    };
    const about = { ...this.#metadata, ...taken };
    const { layers } = about;
    // What was removed while the VM ran is still open in it, but a snapshot could not be started.
    await using _lease = await lease([home().templates, ...layers.map((layer) => layer.path)]);
    await requireTemplate(this.#runtime, this.#metadata, this.snapshotPath);
    for (const { path } of layers) await requireFile(path, "layer");
    await rememberRoot(folder);
    await replace(folder, (partial) => captureSnapshot(machine, this.#runtime, partial, about));
    return Image.#open(this.#runtime, folder);
  }
}

/** Another process may remove the snapshot between our look at its files and reading them. */
function removedMeanwhile(cause: NodeJS.ErrnoException): never {
  if (cause.code !== "ENOENT") throw cause;
  throw new CacheMissError(`${cause.path} was removed just now`, {
    cause,
    hint: "Bake the image anew: run it once more.",
  });
}

async function requireFile(path: string, what: string): Promise<void> {
  if (await exists(path)) return;
  throw new CacheMissError(`the ${what} file ${path} is missing`, { hint: "Bake the image anew: run it once more." });
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
