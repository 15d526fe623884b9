import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { applyChanges } from "../dockerfile/index.js";
import { VmError } from "../errors.js";
import { Image, readMetadata, removeImage } from "../image/index.js";
import { openRuntime } from "../machine/index.js";
import type { LongWork } from "../progress.js";
import { LayerStore } from "../rootfs/index.js";
import { home, lease } from "../store/index.js";
import type { Vm } from "../vm/index.js";
import { snapshotBase } from "./base.js";
import type { ImageState } from "./image-state.js";
import { bakeResult, namesOf } from "./result.js";

/** More than a workload that is stopped while it starts others can stay ahead of. */
const MOST_ROUNDS = 20;

/** What a VM's files become. */
export interface CommitOptions extends LongWork {
  /** Names of the snapshots that the image is baked as. */
  names: readonly string[];
  /** Instructions of a Dockerfile that change the configuration, such as `CMD ["serve"]`. */
  changes?: readonly string[] | undefined;
  /** For the image's history. */
  author?: string | undefined;
  message?: string | undefined;
}

/** An image that was made of a VM. */
export interface CommittedImage {
  image: Image;
  /** Digest of its configuration. */
  id: string;
  names: string[];
}

/** A VM of this process or of another one. */
export type CommittableVm = Pick<Vm, "snapshot"> | { snapshot(name: string, signal?: AbortSignal): Promise<string> };

/**
 * Makes an image of the files that a running VM has now: those of its image with all changes, as one layer, which all VMs of the new image share.
 * What is mounted is no part of it. The VM stands still for some milliseconds, and its files are read from a clone whose processes do not run.
 * @throws VmError for a VM with volumes, which cannot be cloned; DockerfileError for a change that is none; UsageError
 */
export async function commitVm(vm: CommittableVm, options: CommitOptions): Promise<CommittedImage> {
  namesOf(options);
  const { signal } = options;
  // Nothing refers to the new layer before its image is baked.
  await using _lease = await lease([home().layers], signal);
  const name = `commit-${randomBytes(6).toString("hex")}`;
  const folder = join(home().snapshots, name);
  try {
    await capture(vm, name, folder, signal);
    const image = await Image.fromSnapshot(folder, { signal });
    const state = await committed(image, options);
    const { reference } = image;
    const size = { memoryMiB: image.memoryMiB, vcpus: image.vcpus };
    return await bakeResult(await openRuntime(options), state, { ...options, ...size, reference });
  } finally {
    await removeImage(name).catch(() => undefined);
  }
}

async function capture(vm: CommittableVm, name: string, folder: string, signal?: AbortSignal): Promise<void> {
  // A VM of this process takes a folder, one in the background the name of the snapshot.
  const isElsewhere = "inspect" in vm;
  await (vm as { snapshot(at: string, signal?: AbortSignal): Promise<unknown> }).snapshot(
    isElsewhere ? name : folder,
    signal,
  );
}

/** The state that the image is baked from: all of its files in one layer, and the history of what they were. */
async function committed(image: Image, { changes = [], author, message, signal }: CommitOptions): Promise<ImageState> {
  const { state, document } = await snapshotBase(image.name, await readMetadata(image.snapshotPath));
  const config = { ...state.config, ...applyChanges(document, changes) };
  const createdAt = new Date().toISOString();
  const layer = await layerOf(image, signal);
  const before = state.history.map((line) => ({ ...line, empty_layer: true }));
  const own = { created: createdAt, created_by: "supermachine commit", author, comment: message };
  return { ...state, config, author, layers: [layer], history: [...before, own], createdAt };
}

async function layerOf(image: Image, signal: AbortSignal | undefined) {
  await using vm = await image.start({ workload: false, egress: "none", ...(signal && { signal }) });
  await stopProcesses(vm, signal);
  const archive = await vm.copyOutArchive("/.", { oneFileSystem: true, ...(signal && { signal }) });
  return await new LayerStore(home().layers).add(archive, signal);
}

/** Nothing may change while it is read. */
async function stopProcesses(vm: Vm, signal: AbortSignal | undefined): Promise<void> {
  const stopped = new Set<number>();
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const running = (await vm.processes(signal ? { signal } : {})).filter(({ pid }) => pid !== 1 && !stopped.has(pid));
    if (running.length === 0) return;
    for (const { pid } of running) {
      await vm.signal(pid, "SIGKILL");
      stopped.add(pid);
    }
  }
  throw new VmError("the processes of the VM start others faster than they can be stopped");
}
