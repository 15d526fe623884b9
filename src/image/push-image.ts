import { UsageError } from "../errors.js";
import {
  type CopyResult,
  copyImage,
  formatReference,
  openSource,
  openTarget,
  type PullPolicy,
  parseImageSource,
  parsePlatform,
  parseReference,
  type RegistryAuth,
} from "../oci/index.js";
import type { LongWork } from "../progress.js";

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
}

/** How an image is pushed. */
export interface PushOptions extends CopySourceOptions {
  /** For the registry that is pushed to; by default what docker or podman keep for it. It is never stored. */
  registryAuth?: RegistryAuth | undefined;
}

/** An image that was pushed. */
export interface PushedImage extends CopyResult {
  /** The target in full, with the digest. */
  reference: string;
}

/**
 * Copies an image to a registry, digest for digest. What the registry has already is not sent again.
 * @param source what may stand for an image elsewhere: a registry's image, `oci-layout:`, `oci-archive:`, `docker:`, `podman:`
 * @param target name of an image in a registry
 * @throws ImageError, ImageNotFoundError, RegistryAuthError, RegistryUnreachableError, UsageError
 */
export async function pushImage(source: string, target: string, options: PushOptions = {}): Promise<PushedImage> {
  const { registryAuth, signal, onProgress, all } = options;
  const platform = platformOf(options);
  const reference = parseReference(target);
  const from = parseImageSource(source);
  const sourceReference = from.kind === "registry" ? from.reference : undefined;
  // One registry has one password.
  const sourceAuth =
    options.sourceAuth ?? (sourceReference?.registry === reference.registry ? registryAuth : undefined);
  const { pull = "always" } = options;
  await using origin = await openSource(from, { pull, registryAuth: sourceAuth, signal });
  await using place = await openTarget(reference, { registryAuth, source: sourceReference });
  const copied = await copyImage(origin, place, { all, platform, phase: "push", signal, onProgress });
  const { registry, repository, tag } = reference;
  const name = { registry, repository, ...(tag !== undefined && { tag }), digest: copied.digest };
  return { ...copied, reference: formatReference(name) };
}

function platformOf({ all, platform }: CopySourceOptions) {
  if (platform === undefined) return undefined;
  if (all) throw new UsageError("all and platform exclude each other");
  return parsePlatform(platform);
}
