import {
  type DetachedOptions,
  type EgressPolicy,
  type HealthOptions,
  type Image,
  type MountOptions,
  type PublishOptions,
  parseEnv,
  startDetached,
  type VolumeOptions,
  type WaitingSupervisor,
} from "../index.js";
import type { DetachFlags } from "./detach-options.js";
import { tellPorts } from "./tell-ports.js";

interface Workload {
  name: string | undefined;
  env: Record<string, string>;
  cwd?: string;
  user?: string;
  cmd?: readonly string[];
  entrypoint?: readonly string[];
  mounts: readonly MountOptions[];
  volumes: readonly VolumeOptions[];
  egress: EgressPolicy | undefined;
  publish: readonly PublishOptions[] | undefined;
  edge?: NonNullable<DetachedOptions["edge"]>;
  supervisor: WaitingSupervisor | undefined;
  signal: AbortSignal;
}

/** `run --detach`: starts the workload under a supervisor, and prints the VM's name once it is ready. */
export async function runDetached(image: Image, flags: DetachFlags, workload: Workload): Promise<void> {
  const { port, probePath: path, readyTimeoutMs: timeoutMs, stopSignal, pidFile, logFile, restart } = flags;
  const { edge } = workload;
  const readyPort = port ?? (edge && (edge.guestPort ?? image.guestPort));
  const vm = await startDetached(image, {
    ...workload,
    labels: parseEnv(flags.label ?? []),
    remove: flags.rm,
    ...{ restart, stopSignal, pidFile, logFile, health: healthOf(flags) },
    ready: { ...(readyPort !== undefined && { port: readyPort }), path, ...(timeoutMs !== undefined && { timeoutMs }) },
    ...(flags.stopGrace !== undefined && { graceMs: flags.stopGrace * 1_000 }),
  });
  const { ports = [], http } = vm.started ?? (await vm.inspect());
  tellPorts(ports);
  if (http) process.stderr.write(`supermachine: ${http.url} is port ${http.guestPort} of the image\n`);
  process.stdout.write(`${vm.name}\n`);
}

function healthOf(flags: DetachFlags): HealthOptions | false {
  if (flags.healthcheck === false) return false;
  return {
    command: flags.healthCmd,
    intervalMs: flags.healthInterval,
    timeoutMs: flags.healthTimeout,
    startPeriodMs: flags.healthStartPeriod,
    retries: flags.healthRetries,
  };
}
