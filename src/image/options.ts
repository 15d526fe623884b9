import { createHash } from "node:crypto";
import { basename } from "node:path";
import { UsageError } from "../errors.js";
import type { EgressPolicy } from "../network/index.js";
import type { ImageConfig, PullPolicy, RegistryAuth } from "../oci/index.js";
import type { LongWork } from "../progress.js";
import { parseEnv, type Rlimits, type RunConfiguration, resourceLimits } from "../vm/index.js";
import type { GuestSettings } from "./guest-settings.js";
import type { Ready } from "./ready.js";
import type { Warmup } from "./warm-up.js";
import type { WritableOptions } from "./writable.js";

/** What becomes of snapshots from elsewhere. */
export type ForeignState = "restore" | "bake";

/** How an image is baked. */
export interface BakeOptions extends LongWork, GuestSettings, WritableOptions {
  /** The snapshot's name; by default one made of the reference, for every set of options another. */
  name?: string | undefined;
  /** The guest's memory, 256 MiB by default. */
  memoryMiB?: number | undefined;
  /** The guest's processors, 1 by default. */
  vcpus?: number | undefined;
  /** Replaces the image's arguments. */
  cmd?: readonly string[] | undefined;
  /** Replaces the image's entrypoint, and with it the image's arguments, as docker does. */
  entrypoint?: readonly string[] | undefined;
  /** Variables on top of the image's own. */
  env?: Record<string, string> | undefined;
  workdir?: string | undefined;
  /** `name`, `uid`, `name:group` or `uid:gid`. */
  user?: string | undefined;
  /** Limits of the resources of all commands, by docker's names for them. */
  ulimits?: Rlimits | undefined;
  /** The guest's host name, `supermachine` by default. */
  hostname?: string | undefined;
  /**
   * Which image of an index, such as `linux/386` or `linux/arm64/v8`; by default what suits this machine best. What its
   * processors do not run is refused.
   */
  platform?: string | undefined;
  /** When a registry is asked: `missing` (default), `always` or `never`. */
  pull?: PullPolicy | undefined;
  /** Whether a snapshot may be made: with `never` there has to be one already. `missing` by default. */
  bake?: "missing" | "never" | undefined;
  /** For a registry; by default what docker or podman keep for it. It is never stored. */
  registryAuth?: RegistryAuth | undefined;
  /** At which moment the snapshot is taken; `start` by default. */
  ready?: Ready | undefined;
  /** The TCP port that the image's own command listens on; by default the lowest that the image exposes, else 80. */
  guestPort?: number | undefined;
  /** How long `ready: "listener"` waits for it, in milliseconds; a minute by default. */
  readyTimeoutMs?: number | undefined;
  /** Is run once, in the VM that is baked; what it brought about is part of the snapshot. After the command listens, with `listener`. */
  warmup?: Warmup | undefined;
  /** Names what `warmup` does. With the same tag it is not run again. */
  warmupTag?: string | undefined;
  /** How long `warmup` may take, in milliseconds; 10 minutes by default. */
  warmupTimeoutMs?: number | undefined;
  /**
   * What becomes of an image that is a snapshot from elsewhere. `restore` (default): it is used as it is, where it fits this host.
   * `bake`: it is baked anew from its layers, so that no device state of others is loaded by QEMU; see docs/artifacts.md.
   */
  foreignState?: ForeignState | undefined;
  /** What the image's VMs may reach, already while it is baked; `public` by default. */
  egress?: EgressPolicy | undefined;
  /** Where snapshots are kept, instead of the folder of {@link home}. */
  snapshotsDir?: string | undefined;
}

/** Raised when the same input would be baked into something else. */
const BAKE = 4;
export const DEFAULT_HOSTNAME = "supermachine";
export const DEFAULT_GUEST_PORT = 80;
const DEFAULT_MEMORY_MIB = 256;
/** Below this the guest's kernel has no room to boot. */
const LEAST_MEMORY_MIB = 128;
const MOST_MEMORY_MIB = 1 << 20;
const MOST_VCPUS = 64;

/** @throws UsageError when the guest could not have this size */
export function sizeOf(options: BakeOptions): { memoryMiB: number; vcpus: number } {
  const { memoryMiB = DEFAULT_MEMORY_MIB, vcpus = 1 } = options;
  if (!Number.isInteger(memoryMiB) || memoryMiB < LEAST_MEMORY_MIB || memoryMiB > MOST_MEMORY_MIB) {
    throw new UsageError(
      `memoryMiB is ${memoryMiB}; it is a whole number from ${LEAST_MEMORY_MIB} to ${MOST_MEMORY_MIB}`,
    );
  }
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MOST_VCPUS) {
    throw new UsageError(`vcpus is ${vcpus}; it is a whole number from 1 to ${MOST_VCPUS}`);
  }
  return { memoryMiB, vcpus };
}

/** The image's own configuration with the caller's changes, by docker's rules. */
export function runConfigurationOf(
  { config = {} }: Pick<ImageConfig, "config">,
  options: BakeOptions,
): RunConfiguration {
  const image = config ?? {};
  const own = {
    entrypoint: image.Entrypoint ?? [],
    cmd: image.Cmd ?? [],
    env: parseEnv(image.Env ?? []),
    workdir: image.WorkingDir || "/",
    user: image.User ?? "",
    ...serviceOf(image),
  };
  return changedConfiguration(own, options);
}

/** What the image says about its own command as a service. */
function serviceOf(
  image: NonNullable<ImageConfig["config"]>,
): Pick<RunConfiguration, "exposedPorts" | "stopSignal" | "healthcheck"> {
  const { ExposedPorts, StopSignal, Healthcheck } = image;
  // Docker writes nanoseconds, and 0 for what is not said.
  const ms = (nanoseconds: number | undefined) =>
    nanoseconds && nanoseconds > 0 ? Math.ceil(nanoseconds / 1e6) : undefined;
  const health = Healthcheck?.Test?.length ? { ...Healthcheck, test: Healthcheck.Test } : undefined;
  return {
    ...(ExposedPorts && { exposedPorts: Object.keys(ExposedPorts).sort() }),
    ...(StopSignal && { stopSignal: StopSignal }),
    ...(health && {
      healthcheck: {
        test: health.test,
        intervalMs: ms(health.Interval),
        timeoutMs: ms(health.Timeout),
        startPeriodMs: ms(health.StartPeriod),
        retries: health.Retries && health.Retries > 0 ? Math.ceil(health.Retries) : undefined,
      },
    }),
  };
}

/** A configuration with the caller's changes, by docker's rules: another entrypoint takes the arguments away. */
export function changedConfiguration(own: RunConfiguration, options: BakeOptions): RunConfiguration {
  return {
    entrypoint: [...(options.entrypoint ?? own.entrypoint)],
    cmd: [...(options.cmd ?? (options.entrypoint ? [] : own.cmd))],
    env: { ...own.env, ...options.env },
    workdir: absolute(options.workdir ?? own.workdir),
    user: options.user ?? own.user,
    ...limitsOf({ ...own.ulimits, ...options.ulimits }),
    ...(own.exposedPorts && { exposedPorts: own.exposedPorts }),
    ...(own.stopSignal && { stopSignal: own.stopSignal }),
    ...(own.healthcheck && { healthcheck: own.healthcheck }),
  };
}

function limitsOf(ulimits: Rlimits): { ulimits?: Rlimits } {
  resourceLimits(ulimits);
  return Object.keys(ulimits).length > 0 ? { ulimits } : {};
}

/** The option, else `SUPERMACHINE_FOREIGN_STATE`. @throws UsageError */
export function foreignStateOf({ foreignState }: BakeOptions): ForeignState {
  const asked = foreignState ?? (process.env.SUPERMACHINE_FOREIGN_STATE || "restore");
  if (asked === "restore" || asked === "bake") return asked;
  throw new UsageError(`the foreign state ${JSON.stringify(asked)} is not known`, { hint: "It is restore or bake." });
}

/** What a bake brings about beyond the assembled root. */
export interface BakedState {
  ready: Ready;
  guestPort: number;
  warmupTag?: string | undefined;
  /** The policy that was asked for; what ran in the bake may have depended on it. */
  egress?: EgressPolicy | undefined;
  /** Of {@link settingsKey}. */
  settings?: string | undefined;
  /** Size of the disk that its root is written to; without one that is memory. */
  diskMiB?: number | undefined;
}

/** What an image is, whatever is made of it. */
export interface BakeIdentity {
  configDigest: string;
  layers: readonly { diffId: string }[];
}

/** Hash of everything that a bake depends on. */
export function bakeKey(
  image: BakeIdentity,
  config: RunConfiguration,
  templateId: string,
  hostname: string,
  { ready, guestPort, warmupTag, egress, settings, diskMiB }: BakedState,
): string {
  const diffIds = image.layers.map((layer) => layer.diffId);
  const state = [ready, guestPort, warmupTag, egress, ...(settings === undefined ? [] : [settings])];
  const disk = diskMiB === undefined ? [] : [{ diskMiB }];
  const input = [BAKE, image.configDigest, diffIds, config, templateId, hostname, ...state, ...disk];
  return createHash("sha256").update(JSON.stringify(input)).digest("hex");
}

/** A readable name for a bake that was given none: `oci-archive:images/python.tar` -> `python-0123456789ab`. */
export function defaultName(reference: string, key: string): string {
  const path = reference.replace(/^[a-z-]+:(?=.)/, "").replace(/@.*$/, "");
  const slug = basename(path)
    .replace(/\.(tar|oci)(\.\w+)?(?=:|$)/, "")
    .replace(/[^a-zA-Z0-9._-]+/g, "-")
    .replace(/^[^a-zA-Z0-9]+/, "");
  return `${slug.slice(0, 100) || "image"}-${key.slice(0, 12)}`;
}

function absolute(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}
