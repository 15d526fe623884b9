import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk } from "../engine/index.js";
import { BakeError, UsageError } from "../errors.js";
import { log } from "../log.js";
import {
  CAPTURE_FILES,
  emptyRootDisk,
  forkMachine,
  Machine,
  type Runtime,
  settle,
  type Template,
  templateSource,
} from "../machine/index.js";
import { DEFAULT_EGRESS, DNS_ADDRESSES, type EgressPolicy } from "../network/index.js";
import type { StoredLayer } from "../rootfs/index.js";
import { oomKills, Vm, type VmOrigin } from "../vm/index.js";
import { settingsOf } from "./guest-settings.js";
import { type SnapshotMetadata, writeMetadata } from "./metadata.js";
import type { BakeOptions } from "./options.js";
import { type Ready, startListening } from "./ready.js";
import { describeRootDisk } from "./root-disk-file.js";
import { warmShell } from "./warm-shell.js";
import { runWarmup } from "./warm-up.js";

/** LUN 0 stays free: a controller answers for it even where there is no disk. */
const FIRST_LUN = 1;

/** What goes into a bake. */
export interface BakeInput {
  name: string;
  reference: string;
  key: string;
  manifestDigest: string;
  platform: string;
  template: Template;
  layers: readonly StoredLayer[];
  config: SnapshotMetadata["config"];
  hostname: string;
  ready: Ready;
  guestPort: number;
  /** It holds what a warm-up brought about. */
  captured?: boolean | undefined;
  egress?: EgressPolicy | undefined;
  /** Size of the disk that the root is written to; without one that is memory. */
  diskMiB?: number | undefined;
  image?: SnapshotMetadata["image"];
}

/**
 * Restores the template, makes the image's VM of it, and captures that in `folder`.
 * @returns the machine, paused as it was captured
 */
export async function bake(folder: string, runtime: Runtime, input: BakeInput, options: BakeOptions): Promise<Machine> {
  const { signal, onProgress } = options;
  const step = { phase: "bake" as const, item: input.name };
  onProgress?.(step);
  const machine = await Machine.restore(runtime, await templateSource(input.template), { signal });
  try {
    await assemble(machine, input, options);
    await warmShell(machine.agent, signal);
    // Given back after the warm-up, so that nobody reaches into a machine that is another VM by then.
    await using vm = new Vm(machine, originOf(runtime, input), {}, { workload: undefined, giveBack: () => undefined });
    if (input.ready === "listener") await startListening(vm, machine, input.reference, options);
    await runWarmup(vm, input.reference, options);
    // A server that listens is often not done with its start, which would go on in every VM that is restored.
    if (vm.workload) await settle(machine.pid, signal);
    const kills = vm.workload || input.captured ? await oomKills(vm) : 0;
    await machine.pause();
    await captureSnapshot(machine, runtime, folder, { ...input, workloadPid: vm.workload?.pid, oomKills: kills });
    log("info", "bake", `${input.reference} is the snapshot ${input.name} now`);
    onProgress?.({ ...step, finished: true });
    return machine;
  } catch (cause) {
    await machine.stop();
    signal?.throwIfAborted();
    if (cause instanceof BakeError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BakeError(`${input.reference} could not be baked: ${reason}`, { cause });
  }
}

/** Gives the machine the image's layers as disks, and makes its root of them. */
async function assemble(machine: Machine, input: BakeInput, options: BakeOptions): Promise<void> {
  const { signal } = options;
  const disks = input.layers.map(({ path }, index): Disk => ({ lun: FIRST_LUN + index, path }));
  await machine.attachDisks(disks);
  const luns = disks.map(({ lun }) => lun);
  const { hostname, diskMiB } = input;
  const disk = diskMiB === undefined ? undefined : await emptyRootDisk(diskMiB, options);
  if (disk) await machine.giveRootDisk(disk);
  const { files = [], ...settings } = settingsOf(options);
  // The caller's own /etc/hosts, if there is one, replaces ours.
  const writable = disk ? { diskLun: disk.lun } : {};
  const request = { luns, hostname, ...settings, ...writable, files: [...rootFiles(hostname), ...files] };
  await machine.agent.assembleRoot(request, signal ? { signal } : {});
}

/** What is captured in the end is the bake itself, so a VM in the middle of it can be forked, but not be made an image. */
function originOf(runtime: Runtime, { config, hostname, egress }: BakeInput): VmOrigin {
  return {
    config,
    hostname,
    egress: { policy: egress ?? DEFAULT_EGRESS },
    snapshot: async () => {
      throw new UsageError("a VM that is being baked cannot be made an image", {
        hint: "Take the snapshot of a VM that was started from the baked image.",
      });
    },
    fork: (machine, identities, signal) => forkMachine(runtime, machine, identities, signal),
  };
}

/** Captures a machine together with what is needed to restore it. */
export async function captureSnapshot(
  machine: Machine,
  runtime: Runtime,
  folder: string,
  about: Pick<
    SnapshotMetadata,
    | "name"
    | "reference"
    | "key"
    | "manifestDigest"
    | "platform"
    | "config"
    | "hostname"
    | "ready"
    | "guestPort"
    | "captured"
    | "egress"
    | "image"
    | "workloadPid"
    | "oomKills"
  > & {
    layers: readonly { path: string; diffId: string }[];
  },
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await machine.capture(folder);
  const { key, id, hardware } = machine.template;
  const { memoryMiB, vcpus, accelerator } = hardware;
  const diffIds = new Map(about.layers.map(({ path, diffId }) => [path, diffId]));
  await writeMetadata(folder, {
    name: about.name,
    reference: about.reference,
    key: about.key,
    manifestDigest: about.manifestDigest,
    platform: about.platform,
    config: about.config,
    hostname: about.hostname,
    ready: about.ready,
    guestPort: about.guestPort,
    captured: about.captured,
    egress: about.egress,
    image: about.image,
    workloadPid: about.workloadPid,
    oomKills: about.oomKills,
    createdAt: new Date().toISOString(),
    template: { key, id, memoryMiB, vcpus, accelerator, hypervisor: runtime.hypervisor.identity },
    rootDisk: machine.rootDisk && (await describeRootDisk(folder, machine.rootDisk)),
    deviceState: checksum(await readFile(join(folder, CAPTURE_FILES.deviceState))),
    layers: machine.disks.map(({ lun, path }) => ({ lun, path, diffId: diffIds.get(path) ?? "" })),
  });
}

/** Size and CRC-32 of a device state. */
export function checksum(state: Uint8Array): SnapshotMetadata["deviceState"] {
  return { bytes: state.length, crc32: crc32(state) };
}

/** Whether a device state is the one that the snapshot was written with. */
export function isWholeDeviceState(state: Uint8Array, { deviceState }: SnapshotMetadata): boolean {
  const { bytes, crc32 } = checksum(state);
  return bytes === deviceState.bytes && crc32 === deviceState.crc32;
}

function rootFiles(hostname: string) {
  const hosts = `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
  return [
    { path: "/etc/hostname", mode: 0o644, content: `${hostname}\n` },
    { path: "/etc/hosts", mode: 0o644, content: hosts },
    { path: "/etc/resolv.conf", mode: 0o644, content: `nameserver ${DNS_ADDRESSES[0]}\n` },
  ];
}
