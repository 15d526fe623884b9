import { cpus } from "node:os";
import { UsageError } from "../errors.js";
import type { EgressPolicy } from "../network/index.js";
import type { PullPolicy, RegistryAuth } from "../oci/index.js";
import type { LongWork } from "../progress.js";
import type { OnBuild } from "./events.js";
import type { SecretSource } from "./mounts/index.js";

/** How an image is built. */
export interface BuildOptions extends LongWork {
  /** Folder that COPY and ADD take files from. */
  context: string;
  /**
   * Further contexts by their names, which come before stages and images: folders, `docker-image://REFERENCE`, `oci-layout://PATH`, or URLs of git
   * repositories and archives.
   */
  contexts?: Readonly<Record<string, string>> | undefined;
  /** Path of the Dockerfile; by default `Dockerfile` in the context. */
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
  /** Is told of instructions, of what their commands write, and of warnings. */
  onBuild?: OnBuild | undefined;
}

const DEFAULT_MEMORY_MIB = 1024;
const LEAST_MEMORY_MIB = 128;
const MOST_STAGES_AT_ONCE = 4;

/** Of the machines that commands run in: `SUPERMACHINE_BUILD_MEMORY_MIB`, 1024 by default. @throws UsageError */
export function machineSize(env: NodeJS.ProcessEnv = process.env): { memoryMiB: number; vcpus: number } {
  const memoryMiB = setting(env, "SUPERMACHINE_BUILD_MEMORY_MIB", DEFAULT_MEMORY_MIB, LEAST_MEMORY_MIB);
  return { memoryMiB, vcpus: 1 };
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
