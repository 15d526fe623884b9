import { UsageError } from "../errors.js";
import { isFor, parsePlatform } from "../oci/index.js";
import { settingsKey } from "./guest-settings.js";
import type { SnapshotMetadata } from "./metadata.js";
import type { BakeOptions } from "./options.js";
import { asksForOtherDisk } from "./writable.js";

/** Refuses options that the snapshot was not baked with and that cannot be changed afterwards. @throws UsageError */
export function requireBakedAs(metadata: SnapshotMetadata, options: BakeOptions): void {
  const problem =
    sizeProblem(metadata, options) ??
    diskProblem(metadata, options) ??
    platformProblem(metadata, options) ??
    settingsProblem(metadata, options);
  if (problem) throw new UsageError(problem, { hint: `Bake another one from ${metadata.reference}.` });
}

function sizeProblem({ name, template }: SnapshotMetadata, options: BakeOptions): string | undefined {
  const { memoryMiB = template.memoryMiB, vcpus = template.vcpus } = options;
  if (memoryMiB === template.memoryMiB && vcpus === template.vcpus) return undefined;
  return `the snapshot ${name} has ${template.memoryMiB} MiB and ${template.vcpus} vCPU; that cannot be changed`;
}

function diskProblem({ name, rootDisk }: SnapshotMetadata, options: BakeOptions): string | undefined {
  if (!asksForOtherDisk(options, rootDisk?.sizeMiB)) return undefined;
  const own = rootDisk ? `on a disk of ${rootDisk.sizeMiB} MiB` : "in memory";
  return `the snapshot ${name} keeps what is written to the root ${own}; that cannot be changed`;
}

function platformProblem({ name, platform: own }: SnapshotMetadata, { platform }: BakeOptions): string | undefined {
  if (platform === undefined || own === undefined || isFor(parsePlatform(platform), parsePlatform(own)))
    return undefined;
  return `the snapshot ${name} is for ${own}, not for ${platform}`;
}

function settingsProblem({ name, hostname: own }: SnapshotMetadata, options: BakeOptions): string | undefined {
  const { ulimits = {}, hostname } = options;
  const isChanged = hostname !== undefined && hostname !== own;
  if (!isChanged && Object.keys(ulimits).length === 0 && settingsKey(options) === undefined) return undefined;
  return `the snapshot ${name} has the host name, limits and settings that it was baked with`;
}
