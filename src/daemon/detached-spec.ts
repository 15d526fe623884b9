import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { UsageError } from "../errors.js";
import { type Image, shortName } from "../image/index.js";
import type { MountOptions } from "../mounts/index.js";
import { checkPolicy, type EgressPolicy, type PublishOptions } from "../network/index.js";
import type { CommandChanges } from "../vm/index.js";
import type { VolumeOptions } from "../volumes/index.js";
import type { HealthCheck } from "./health-monitor.js";
import type { ReadyProbe } from "./readiness.js";
import type { RestartPolicy } from "./restart-policy.js";
import { goesOn } from "./start-workload.js";
import { stopSignalOf } from "./stop-signal.js";
import type { WaitingSupervisor } from "./supervisor-process.js";
import type { EdgeSpec, SupervisorSpec } from "./supervisor-spec.js";

const DEFAULT_GRACE_MS = 10_000;
const DEFAULT_READY_TIMEOUT_MS = 60_000;
/** Docker's own. */
const DEFAULT_HEALTH = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, retries: 3 };

/** A health check in place of, or on top of, the image's HEALTHCHECK. */
export type HealthOptions = { [Key in Exclude<keyof HealthCheck, "argv">]?: HealthCheck[Key] | undefined } & {
  /** For the image's shell, or an argument list; by default what the image says. */
  command?: string | readonly string[] | undefined;
};

/** How a VM is started that outlives this process. */
export interface DetachedOptions extends CommandChanges {
  /** By default one made of the image's name. */
  name?: string | undefined;
  /** Variables on top of the image's own. */
  env?: Record<string, string> | undefined;
  /** Working directory; by default the image's. */
  cwd?: string | undefined;
  /** `name`, `uid`, `name:group` or `uid:gid`; by default the image's user. */
  user?: string | undefined;
  /** Folders of the host, as in {@link StartOptions}. */
  mounts?: readonly MountOptions[] | undefined;
  /** Disks that outlive it, as in {@link StartOptions}. */
  volumes?: readonly VolumeOptions[] | undefined;
  /** What it may reach, as in {@link StartOptions}. */
  egress?: EgressPolicy | undefined;
  /** Ports of it that are reachable on the host, as in {@link StartOptions}. One that is chosen stays the same after a restart. */
  publish?: readonly PublishOptions[] | undefined;
  labels?: Record<string, string> | undefined;
  /** A process that was started ahead of time; by default one is started now. */
  supervisor?: WaitingSupervisor | undefined;
  /** Keeps nothing of the VM, its output included, once it has ended. */
  remove?: boolean | undefined;
  /** How long the workload has to end after the stop signal; 10 s by default, as docker has it. */
  graceMs?: number | undefined;
  /** What the workload is ended with, such as `SIGQUIT`; by default what the image says, else SIGTERM. */
  stopSignal?: string | undefined;
  /** By default a workload that ended is not started again. */
  restart?: RestartPolicy | undefined;
  /**
   * When the workload is ready: `port`, a TCP port in the guest, has to be listened on, and GET `path` there to be answered with 200. By
   * default the first published TCP port is waited for, and with a `path` else the first that the image exposes.
   */
  ready?: Partial<ReadyProbe> | undefined;
  /** By default the image's HEALTHCHECK; `false` for none. */
  health?: HealthOptions | false | undefined;
  /**
   * Serves the image's HTTP server on a port of the host, as NAME.localhost, by `workers` VMs; its own certificate is in two files. Edges
   * of several VMs share a port.
   */
  edge?: (Omit<EdgeSpec, "guestPort"> & { guestPort?: number | undefined }) | undefined;
  /** A file that has the supervisor's process id while it runs. */
  pidFile?: string | undefined;
  /** A file that the workload's output is added to as it is; at 10 MiB it becomes `FILE.1`, and that `FILE.2`. */
  logFile?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** What a supervisor is told. @throws UsageError */
export function detachedSpec(image: Image, options: DetachedOptions): SupervisorSpec {
  const { name = nameFor(image), env = {}, labels = {}, remove = false, cwd, user, pidFile, logFile } = options;
  const { graceMs = DEFAULT_GRACE_MS, restart = { when: "no" } } = options;
  const cmd = options.cmd && [...options.cmd];
  const entrypoint = options.entrypoint && [...options.entrypoint];
  if (goesOn(image, { cmd, entrypoint }) && (Object.keys(env).length > 0 || cwd !== undefined || user !== undefined)) {
    throw new UsageError(
      `the command of ${image.name} runs already: its environment, folder and user are what they are`,
      {
        hint: "Name a command to run one beside it.",
      },
    );
  }
  const { snapshotPath, config } = image;
  return {
    ...{ name, snapshotPath, cmd, entrypoint, env, cwd, user, labels, remove, graceMs, restart },
    mounts: (options.mounts ?? []).map((each) => ({ ...each, host: resolve(each.host) })),
    volumes: (options.volumes ?? []).map((each) => (each.file ? { ...each, file: resolve(each.file) } : each)),
    egress: options.egress && checkPolicy(options.egress),
    publish: [...(options.publish ?? [])],
    stopSignal: stopSignalOf(options.stopSignal, config.stopSignal),
    edge: options.edge && { ...options.edge, guestPort: options.edge.guestPort ?? image.guestPort },
    ready: readyProbe(image, options),
    health: healthCheck(image, options.health),
    pidFile: pidFile && resolve(pidFile),
    logFile: logFile && resolve(logFile),
  };
}

/** `python-0123456789ab`, a snapshot, becomes `python-a1b2c3`, a VM; `example.org/team/app:1.0` becomes `app-a1b2c3`. */
function nameFor(image: Image): string {
  const stem = shortName(image.name).slice(0, 48);
  return `${stem}-${randomBytes(3).toString("hex")}`;
}

function readyProbe(image: Image, { ready = {}, publish = [] }: DetachedOptions): ReadyProbe | undefined {
  const { path, timeoutMs = DEFAULT_READY_TIMEOUT_MS } = ready;
  if (path !== undefined && !/^\/[!-~]*$/.test(path))
    throw new UsageError(`${JSON.stringify(path)} is no path to ask for`, { hint: "It begins with a slash." });
  const published = publish.find(({ protocol }) => protocol !== "udp")?.guestPort;
  const port = ready.port ?? published ?? (path === undefined ? undefined : exposedPorts(image)[0]);
  if (port !== undefined) return { port, path, timeoutMs };
  if (path === undefined) return undefined;
  throw new UsageError(`there is no port to ask for ${path}: the image exposes none`, {
    hint: "Name one with --port.",
  });
}

/** The TCP ports that the image says it listens on. */
function exposedPorts({ config }: Image): number[] {
  const ports = (config.exposedPorts ?? []).map((text) => /^(\d{1,5})(?:\/tcp)?$/.exec(text)?.[1]);
  return ports.flatMap((port) => (port === undefined ? [] : [Number(port)])).sort((a, b) => a - b);
}

function healthCheck({ config }: Image, options: HealthOptions | false = {}): HealthCheck | undefined {
  if (options === false) return undefined;
  const { test = ["NONE"], ...ofImage } = config.healthcheck ?? {};
  const { command = test[0] === "CMD-SHELL" ? test[1] : test.slice(1), ...own } = options;
  const argv = typeof command === "string" ? ["/bin/sh", "-c", command] : [...(command ?? [])];
  const settings = { ...DEFAULT_HEALTH, ...defined(ofImage), ...defined(own) };
  if (argv.length > 0) return { argv, ...settings };
  if (Object.keys(defined(own)).length === 0) return undefined;
  throw new UsageError("the image has no health check that could be set", { hint: "Name one with --health-cmd." });
}

function defined<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}
