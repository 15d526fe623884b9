import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.js";
import {
  formatReference,
  type ImageNames,
  type ImageOrigin,
  type ImageSource,
  openSource,
  type Platform,
  type PullPolicy,
  parseImageSource,
  parsePlatform,
  parseReference,
  type RegistryAuth,
  type RegistryReference,
} from "../oci/index.js";
import type { LongWork } from "../progress.js";
import { openSnapshot } from "./artifact/snapshot-origin.js";
import { METADATA_FILE } from "./metadata.js";
import { snapshotFolder } from "./name.js";

/** What of an image is copied, and where it is read. */
export interface CopySourceOptions extends LongWork {
  /** Everything that an index names, for all platforms; by default the image that suits this machine. */
  all?: boolean | undefined;
  /** Which image of an index, such as `linux/arm64`. */
  platform?: string | undefined;
  /** When the source's registry is asked; `always` by default. */
  pull?: PullPolicy | undefined;
  /** For the registry that is copied from; by default what docker or podman keep for it. */
  sourceAuth?: RegistryAuth | undefined;
  /** Where snapshots are kept, instead of the folder of {@link home}. */
  snapshotsDir?: string | undefined;
}

/** What is copied, open, and its name where that is one in a registry. */
export interface CopySource {
  origin: ImageOrigin;
  registry: RegistryReference | undefined;
  /** What the source calls it. */
  name: ImageNames | undefined;
}

/** The registry that is copied to, and what was given for it. */
interface CopyTarget {
  registry: string;
  registryAuth: RegistryAuth | undefined;
}

/** Opens what a user types as SOURCE: a snapshot by its name or its folder, else an image. */
export async function openCopySource(
  text: string,
  options: CopySourceOptions,
  target?: CopyTarget,
): Promise<CopySource> {
  const { signal, onProgress, pull = "always" } = options;
  const folder = snapshotFolder(text, options);
  if (folder !== undefined && (await isSnapshotFolder(folder))) {
    return { origin: await openSnapshot(folder, { signal, onProgress }), registry: undefined, name: undefined };
  }
  const source = parseImageSource(text);
  const registry = source.kind === "registry" ? source.reference : undefined;
  // One registry has one password.
  const given = registry?.registry === target?.registry ? target?.registryAuth : undefined;
  const registryAuth = options.sourceAuth ?? given;
  return { origin: await openSource(source, { pull, registryAuth, signal }), registry, name: namesOf(source) };
}

function namesOf(source: ImageSource): ImageNames | undefined {
  if (source.kind === "registry") return fullNames(source.reference);
  if ("image" in source) return "reference" in source.image ? fullNames(source.image.reference) : undefined;
  const { tag } = source;
  // A tag alone, or a whole name as docker's archives have them.
  if (tag === undefined || /^[\w.-]+$/.test(tag)) return tag === undefined ? undefined : { tag };
  try {
    return fullNames(parseReference(tag));
  } catch {
    return { tag };
  }
}

function fullNames({ registry, repository, tag }: RegistryReference): ImageNames | undefined {
  return tag === undefined ? undefined : { tag, full: formatReference({ registry, repository, tag }) };
}

/** @throws UsageError */
export function platformOf({ all, platform }: CopySourceOptions): Platform | undefined {
  if (platform === undefined) return undefined;
  if (all) throw new UsageError("all and platform exclude each other");
  return parsePlatform(platform);
}

function isSnapshotFolder(folder: string): Promise<boolean> {
  return stat(join(folder, METADATA_FILE)).then(
    () => true,
    () => false,
  );
}
