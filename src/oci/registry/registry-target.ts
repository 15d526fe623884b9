import { ImageError, UsageError } from "../../errors.js";
import { isDigest, splitDigest } from "../digest.js";
import { formatReference, type RegistryReference } from "../reference.js";
import type { ImageTarget, OutgoingDocument } from "../target.js";
import { retrying } from "./backoff.js";
import type { Endpoint } from "./endpoint.js";
import { endpointsOf } from "./endpoints.js";
import { DEFAULT_LIMITS, type NetworkLimits } from "./network-limits.js";
import type { RegistryAuth } from "./registry-auth.js";
import { Transport } from "./transport.js";
import { uploadBlob } from "./upload.js";

/** As many as docker sends at a time, unless it is told otherwise. */
const BLOBS_AT_ONCE = 5;

/** How an image is pushed to a registry. */
export interface RegistryTargetOptions {
  /** User name and password; by default what docker or podman keep for the registry, else none. */
  registryAuth?: RegistryAuth | undefined;
  /** Where the image comes from, when that is a registry: what the same registry has already is not sent to it. */
  source?: RegistryReference | undefined;
  /** Other than the usual timeouts and tries. */
  network?: Partial<NetworkLimits> | undefined;
}

/**
 * Makes a repository the target of a copy. Nothing is asked before the first blob is put. Mirrors are for reading: what is
 * pushed goes to the registry that was named.
 * @throws UsageError
 */
export function openRegistryTarget(reference: RegistryReference, options: RegistryTargetOptions = {}): ImageTarget {
  const { source, registryAuth } = options;
  const mountFrom = source?.registry === reference.registry ? source.repository : undefined;
  const transport = new Transport({ ...DEFAULT_LIMITS, ...options.network });
  const readable = mountFrom === undefined ? [] : [mountFrom];
  const endpoints = endpointsOf(reference, transport, "pull,push", { registryAuth, readable });
  const endpoint = endpoints.find(({ site }) => !site.isMirror);
  if (endpoint === undefined) throw new UsageError(`${reference.registry} has nothing but mirrors`);
  const name = formatReference(reference);
  const from = mountFrom === reference.repository ? undefined : mountFrom;
  return {
    name,
    blobsAtOnce: BLOBS_AT_ONCE,
    putBlob: (blob, work) => uploadBlob(endpoint, blob, `blob ${blob.digest} of ${name}`, { ...work, mountFrom: from }),
    putDocument: (document, signal) => putManifest(endpoint, document, document.digest, name, signal),
    finish(root, signal) {
      const { tag, digest } = reference;
      if (digest !== undefined && digest !== root.digest) {
        throw new UsageError(`${name} cannot be pushed: the image's digest is ${root.digest}`, {
          hint: "Name the target by a tag.",
        });
      }
      return putManifest(endpoint, root, tag ?? root.digest, name, signal);
    },
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
}

/** Puts a manifest or index under a tag or its digest, and makes sure that the registry got what it was sent. */
async function putManifest(
  endpoint: Endpoint,
  document: OutgoingDocument,
  tagOrDigest: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const what = `manifest ${document.digest} of ${name}`;
  const request = {
    method: "PUT" as const,
    headers: { "content-type": document.mediaType },
    body: document.bytes,
    accept: [200, 201, 202, 204],
    signal,
  };
  try {
    await retrying(endpoint.transport.limits, signal, async () => {
      const { body, headers } = await endpoint.send(`manifests/${tagOrDigest}`, request);
      await body.dump();
      checkAnswer(String(headers["docker-content-digest"] ?? ""), document, what);
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw await endpoint.explainPush(error, what);
  }
}

/** A registry that keeps something else than it was sent, as old ones do with documents they convert, breaks the digest. */
function checkAnswer(kept: string, { digest }: OutgoingDocument, what: string): void {
  if (!isDigest(kept) || splitDigest(kept).algorithm !== splitDigest(digest).algorithm || kept === digest) return;
  throw new ImageError(`${what} was kept by the registry as ${kept}, not as what was sent`);
}
