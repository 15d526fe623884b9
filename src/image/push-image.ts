import {
  type CopyResult,
  copyImage,
  formatReference,
  openTarget,
  parseReference,
  type RegistryAuth,
} from "../oci/index.js";
import { type CopySourceOptions, openCopySource, platformOf } from "./copy-source.js";

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
 * Copies an image to a registry, digest for digest, or a snapshot as an artifact that other machines restore. What the registry
 * has already is not sent again.
 * @param source name or path of a snapshot, else what may stand for an image elsewhere: a registry's image, `oci-layout:`,
 * `oci-archive:`, `docker:`, `podman:`
 * @param target name of an image in a registry
 * @throws ImageError, ImageNotFoundError, RegistryAuthError, RegistryUnreachableError, CacheInvalidError, CacheMissError, UsageError
 */
export async function pushImage(source: string, target: string, options: PushOptions = {}): Promise<PushedImage> {
  const { registryAuth, signal, onProgress, all } = options;
  const platform = platformOf(options);
  const reference = parseReference(target);
  const { origin, registry } = await openCopySource(source, options, { registry: reference.registry, registryAuth });
  await using from = origin;
  await using place = await openTarget(reference, { registryAuth, source: registry });
  const copied = await copyImage(from, place, { all, platform, phase: "push", signal, onProgress });
  const { tag } = reference;
  const name = { ...reference, ...(tag !== undefined && { tag }), digest: copied.digest };
  return { ...copied, reference: formatReference(name) };
}
