import type { Machine } from "../machine/index.js";
import { checkMounts, type Mount, type MountOptions, mountFolder } from "../mounts/index.js";
import { attachVolume, checkVolumes, type HeldVolume, holdVolumes, type VolumeOptions } from "../volumes/index.js";

/** What a VM is given of the host's files. */
export interface StorageOptions {
  /** Folders of the host that this VM sees. They are no part of a snapshot of it: whoever starts that mounts them anew. */
  mounts?: readonly MountOptions[];
  /** Disks of its own that outlive it. While it has one it cannot be captured, since its memory holds a part of their content. */
  volumes?: readonly VolumeOptions[];
}

/** Whether it is given any. */
export function hasStorage({ mounts = [], volumes = [] }: StorageOptions): boolean {
  return mounts.length + volumes.length > 0;
}

/** Storage that has been checked and locked, for a VM that is about to start. */
export interface HeldStorage extends Disposable {
  mounts: readonly Mount[];
  volumes: readonly HeldVolume[];
}

/** @throws UsageError, VmError, AssetsError */
export async function holdStorage(
  { mounts = [], volumes = [], signal }: StorageOptions & { signal?: AbortSignal | undefined },
  user: string,
): Promise<HeldStorage> {
  const folders = checkMounts(mounts, user);
  const held = await holdVolumes(checkVolumes(volumes), signal ? { signal } : {});
  return {
    mounts: folders,
    volumes: held,
    [Symbol.dispose]: () => {
      for (const each of held) each[Symbol.dispose]();
    },
  };
}

/** Mounts all of it, what is within another after that. @throws VmError */
export async function attachStorage(machine: Machine, storage: HeldStorage, signal?: AbortSignal): Promise<void> {
  const { memoryMiB } = machine.template.hardware;
  const steps = [
    ...storage.mounts.map((mount) => ({
      at: mount.guest,
      run: () => mountFolder(machine.agent, mount, memoryMiB, signal),
    })),
    ...storage.volumes.map((volume, index) => ({
      at: volume.guest,
      run: () => attachVolume(machine, volume, index, signal),
    })),
  ];
  for (const { run } of steps.sort((a, b) => a.at.length - b.at.length)) await run();
}
