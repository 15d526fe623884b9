import { isIP } from "node:net";
import { cpus } from "node:os";
import { UsageError } from "../errors.js";
import type { EgressPolicy } from "../network/index.js";
import type { PullPolicy, RegistryAuth } from "../oci/index.js";
import type { LongWork } from "../progress.js";
import { type Rlimits, resourceLimits } from "../vm/index.js";
import type { OnBuild } from "./events.js";
import type { FailedCommand } from "./failed-command.js";
import type { SecretSource } from "./mounts/index.js";
import type { CacheSource, CacheTarget } from "./shared-cache/index.js";
import type { CommandSettings } from "./steps/index.js";

/** How an image is built. */
export interface BuildOptions extends LongWork {
  /**
   * What COPY and ADD take files from: a folder, or a git repository (`https://HOST/REPOSITORY.git#REF:FOLDER`, `ssh://`, `USER@HOST:PATH`), or the URL of an
   * archive or of a Dockerfile alone.
   */
  context: string;
  /**
   * Further contexts by their names, which come before stages and images: folders, `docker-image://REFERENCE`, `oci-layout://PATH`, or URLs of git
   * repositories and archives.
   */
  contexts?: Readonly<Record<string, string>> | undefined;
  /** Path of the Dockerfile, within a context that is fetched; by default `Dockerfile` in the context. */
  file?: string | undefined;
  /** The Dockerfile's text, instead of a file. */
  dockerfile?: string | undefined;
  /** Names of the snapshots that the image is baked as; by default one made of the context's name. */
  names?: readonly string[] | undefined;
  /** Values of ARG. */
  buildArgs?: Readonly<Record<string, string>> | undefined;
  /** Secrets by their ids, for `RUN --mount=type=secret`. They reach the commands that mount them, and nothing that is kept. */
  secrets?: Readonly<Record<string, SecretSource>> | undefined;
  /** The stage that is wanted: its name or index; by default the last one. */
  target?: string | undefined;
  /** Runs everything anew. What comes of it is remembered all the same. */
  noCache?: boolean | undefined;
  /** Names or indexes of stages whose instructions are run anew. */
  noCacheFilter?: readonly string[] | undefined;
  /**
   * ssh-agents by their ids, for `RUN --mount=type=ssh`, and `default` for git repositories that are fetched by SSH: the path of an agent's socket, or
   * of files of private keys without a passphrase; an empty list is the agent of `SSH_AUTH_SOCK`. Commands can list the keys and sign with them; the keys
   * themselves stay on this machine.
   */
  ssh?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Limits of the commands' resources, by docker's names for them. */
  ulimits?: Rlimits | undefined;
  /** Size of the commands' /dev/shm in MiB; half of their memory by default. */
  shmMiB?: number | undefined;
  /** Milliseconds that each command may take before it is killed and the build fails; no bound by default. */
  runTimeoutMs?: number | undefined;
  /** Addresses that commands find in /etc/hosts, by name. */
  hosts?: Readonly<Record<string, string>> | undefined;
  /** Caches of other machines, which are asked in this order for what is not in this one's. One that is missing or damaged is a warning. */
  cacheFrom?: readonly CacheSource[] | undefined;
  /** Where what this build has found or done is written, for other machines, when the image is there. */
  cacheTo?: readonly CacheTarget[] | undefined;
  /** Labels of the image, on top of those of the Dockerfile. */
  labels?: Readonly<Record<string, string>> | undefined;
  platform?: string | undefined;
  /** When a registry is asked for a base: `missing` (default), `always` or `never`. */
  pull?: PullPolicy | undefined;
  registryAuth?: RegistryAuth | undefined;
  /** What commands of the build may reach; `public` by default. */
  egress?: EgressPolicy | undefined;
  /** Memory of the image's microVMs, as for {@link Image.fromOci}. */
  memoryMiB?: number | undefined;
  vcpus?: number | undefined;
  /** Where snapshots are kept, instead of the folder of {@link home}. */
  snapshotsDir?: string | undefined;
  /**
   * Is given the first command that failed, with its machine as it is, once all else of the build has ended; when it is done, the machine is thrown away and
   * the build fails.
   */
  onFailedCommand?: ((command: FailedCommand) => Promise<void>) | undefined;
  /** Is told of instructions, of what their commands write, and of warnings. */
  onBuild?: OnBuild | undefined;
}

const DEFAULT_MEMORY_MIB = 1024;
const LEAST_MEMORY_MIB = 128;
const DEFAULT_DISK_MIB = 32_768;
const LEAST_DISK_MIB = 64;
const MOST_STAGES_AT_ONCE = 4;

/** What the machines that commands run in are like. */
export interface MachineSize {
  memoryMiB: number;
  vcpus: number;
  /** Of the disk that they write to. */
  diskMiB: number;
}

/**
 * Of the machines that commands run in: `SUPERMACHINE_BUILD_MEMORY_MIB`, 1024 by default, and `SUPERMACHINE_BUILD_DISK_MIB`, 32,768 by default, of
 * which only what is written takes space. @throws UsageError
 */
export function machineSize(env: NodeJS.ProcessEnv = process.env): MachineSize {
  const memoryMiB = setting(env, "SUPERMACHINE_BUILD_MEMORY_MIB", DEFAULT_MEMORY_MIB, LEAST_MEMORY_MIB);
  const diskMiB = setting(env, "SUPERMACHINE_BUILD_DISK_MIB", DEFAULT_DISK_MIB, LEAST_DISK_MIB);
  return { memoryMiB, vcpus: 1, diskMiB };
}

/** What a timer of Node takes. */
const MOST_MS = 2 ** 31 - 1;

/** @throws UsageError */
export function checkRunTimeout({ runTimeoutMs }: Pick<BuildOptions, "runTimeoutMs">): void {
  if (runTimeoutMs === undefined || (runTimeoutMs > 0 && runTimeoutMs <= MOST_MS)) return;
  throw new UsageError(`runTimeoutMs is ${runTimeoutMs}; it is a number of milliseconds above 0, and at most 24 days`);
}

const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

/** What commands find around them. @throws UsageError */
export function commandSettings({
  ulimits = {},
  shmMiB,
  hosts = {},
}: Pick<BuildOptions, "ulimits" | "shmMiB" | "hosts">): CommandSettings {
  if (shmMiB !== undefined && !(Number.isFinite(shmMiB) && shmMiB > 0))
    throw new UsageError(`shmMiB is ${shmMiB}; it is a number of MiB above 0`);
  for (const [name, address] of Object.entries(hosts)) {
    if (HOST_NAME.test(name) && isIP(address) !== 0) continue;
    throw new UsageError(`${JSON.stringify(`${name}=${address}`)} is no name with an IP address`);
  }
  const shmBytes = shmMiB === undefined ? undefined : Math.ceil(shmMiB * 1024 * 1024);
  return { rlimits: resourceLimits(ulimits), shmBytes, hosts };
}

/** How many commands run at a time: `SUPERMACHINE_BUILD_PARALLELISM`, by default as many as there are processors. @throws UsageError */
export function parallelism(env: NodeJS.ProcessEnv = process.env): number {
  return setting(env, "SUPERMACHINE_BUILD_PARALLELISM", Math.min(cpus().length, MOST_STAGES_AT_ONCE), 1);
}

/** The newest time of what is written, in seconds since 1970, as reproducible-builds.org has it. @throws UsageError */
export function sourceDateEpoch(
  { buildArgs = {} }: Pick<BuildOptions, "buildArgs">,
  env: NodeJS.ProcessEnv = process.env,
): number | undefined {
  const text = buildArgs.SOURCE_DATE_EPOCH ?? env.SOURCE_DATE_EPOCH;
  if (!text) return undefined;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new UsageError(`SOURCE_DATE_EPOCH is ${JSON.stringify(text)}; it is a number of seconds since 1970`);
}

function setting(env: NodeJS.ProcessEnv, name: string, byDefault: number, least: number): number {
  const text = env[name];
  if (!text) return byDefault;
  const value = Number(text);
  if (/^\d{1,7}$/.test(text) && value >= least) return value;
  throw new UsageError(`${name} is ${JSON.stringify(text)}; it is a whole number from ${least}`);
}
