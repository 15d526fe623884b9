import { Readable } from "node:stream";
import { CacheMissError, ImageError } from "../../errors.js";
import { home, lease } from "../../store/index.js";
import type { Digest } from "../digest.js";
import type { Descriptor } from "../documents.js";
import { isConfig, isIndex, isManifest, SNAPSHOT_CONFIG } from "../media-types.js";
import { type ImageOrigin, type OnRetry, verifiableDigest } from "../origin.js";
import { MAX_DOCUMENT_BYTES } from "../parse-document.js";
import { formatReference, type RegistryReference } from "../reference.js";
import { openBlob } from "./blob-stream.js";
import { DocumentCache } from "./document-cache.js";
import type { Endpoint } from "./endpoint.js";
import { endpointsOf, firstThatWorks } from "./endpoints.js";
import { fetchManifest, fetchSmallBlob, headManifest, type VerifiedDocument } from "./manifest.js";
import { DEFAULT_LIMITS, type NetworkLimits } from "./network-limits.js";
import { checkPolicy, type PullPolicy, resolve } from "./policy.js";
import type { RegistryAuth } from "./registry-auth.js";
import { Transport } from "./transport.js";

/** How an image is fetched from a registry. */
export interface RegistryOptions {
  /** When the registry is asked; `missing` by default. */
  pull?: PullPolicy | undefined;
  /** User name and password; by default what docker or podman keep for the registry, else none. */
  registryAuth?: RegistryAuth | undefined;
  /** Other than the usual timeouts and tries. */
  network?: Partial<NetworkLimits> | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Opens an image in a registry. Its documents are kept, so that the next time it is found without the registry; layers
 * are fetched only when they are read.
 * @throws ImageNotFoundError, RegistryAuthError, RegistryUnreachableError, CacheMissError, ImageError, UsageError
 */
export async function openRegistry(reference: RegistryReference, options: RegistryOptions = {}): Promise<ImageOrigin> {
  const policy = checkPolicy(options.pull ?? "missing");
  const transport = new Transport({ ...DEFAULT_LIMITS, ...options.network });
  let repository: CachedRepository | undefined;
  const close = async () => {
    await repository?.[Symbol.asyncDispose]();
    await transport[Symbol.asyncDispose]();
  };
  try {
    const opened = new CachedRepository(reference, policy, endpointsOf(reference, transport, "pull", options));
    repository = opened;
    const root = await opened.resolve(options.signal);
    return {
      name: opened.name,
      isRemote: true,
      roots: [root],
      // The manifest's word is enough: asking for each layer would cost a request each.
      size: async (descriptor) => descriptor.size,
      open: (descriptor, signal, onRetry) => opened.open(descriptor, signal, onRetry),
      ...(opened.hasMirrors && {
        openAgain: (descriptor, signal, onRetry) => opened.openAtOrigin(descriptor, signal, onRetry),
      }),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One repository, in front of it what was fetched from it before. */
class CachedRepository implements AsyncDisposable {
  readonly name: string;
  readonly #reference: RegistryReference;
  readonly #policy: PullPolicy;
  readonly #endpoints: readonly Endpoint[];
  readonly #cache = new DocumentCache(home().blobs);
  #lease: Promise<AsyncDisposable | undefined> | undefined;

  constructor(reference: RegistryReference, policy: PullPolicy, endpoints: readonly Endpoint[]) {
    this.name = formatReference(reference);
    this.#reference = reference;
    this.#policy = policy;
    this.#endpoints = endpoints;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#lease)?.[Symbol.asyncDispose]();
  }

  resolve(signal: AbortSignal | undefined): Promise<Descriptor> {
    const ask = (known: Digest | undefined) => this.#ask(known, signal);
    return resolve(this.#reference, { policy: this.#policy, cache: this.#cache, name: this.name, ask });
  }

  get hasMirrors(): boolean {
    return this.#endpoints.length > 1;
  }

  /** What a mirror gave was wrong: the registry itself, which is the last of the places, is asked. */
  async openAtOrigin(descriptor: Descriptor, signal?: AbortSignal, onRetry?: OnRetry): Promise<Readable> {
    return openBlob(
      this.#endpoints.slice(-1),
      descriptor,
      `layer ${descriptor.digest} of ${this.name}`,
      signal,
      onRetry,
    );
  }

  async open(descriptor: Descriptor, signal?: AbortSignal, onRetry?: OnRetry): Promise<Readable> {
    const digest = verifiableDigest(descriptor, this.name);
    const kind = kindOf(descriptor.mediaType);
    if (kind === "layer") {
      const what = `layer ${digest} of ${this.name}`;
      if (this.#policy === "never") throw notHere(what);
      return openBlob(this.#endpoints, descriptor, what, signal, onRetry);
    }
    const bytes = (await this.#cache.read(digest)) ?? (await this.#fetch({ ...descriptor, digest }, kind, signal));
    return Readable.from([bytes]);
  }

  async #fetch(descriptor: Descriptor & { digest: Digest }, kind: "manifest" | "config", signal?: AbortSignal) {
    const what = `${kind} ${descriptor.digest} of ${this.name}`;
    if (this.#policy === "never") throw notHere(what);
    if (descriptor.size > MAX_DOCUMENT_BYTES)
      throw new ImageError(`${what} is longer than ${MAX_DOCUMENT_BYTES} bytes`);
    const document = await firstThatWorks(this.#endpoints, signal, (endpoint) =>
      kind === "manifest"
        ? fetchManifest(endpoint, descriptor.digest, what, signal)
        : fetchSmallBlob(endpoint, descriptor, what, signal),
    );
    await this.#keepDocuments();
    await this.#cache.write(document);
    return document.bytes;
  }

  /** No image refers yet to what is about to be stored. A folder that cannot be written to is reported by what is stored. */
  async #keepDocuments(): Promise<void> {
    this.#lease ??= lease([home().blobs]).catch(() => undefined);
    await this.#lease;
  }

  /** Registries count what is fetched, but not what is only asked about: a tag that has not moved costs no download. */
  async #ask(known: Digest | undefined, signal: AbortSignal | undefined): Promise<Descriptor> {
    const { tag, digest } = this.#reference;
    const wanted = digest ?? tag ?? "latest";
    await this.#keepDocuments();
    const kept = known && (await this.#cache.describe(known))?.digest;
    const answer = await firstThatWorks(this.#endpoints, signal, async (endpoint) => {
      const now = kept === undefined ? undefined : await headManifest(endpoint, wanted, this.name, signal);
      return now !== undefined && now === kept ? now : fetchManifest(endpoint, wanted, this.name, signal);
    });
    return this.#keep(answer);
  }

  async #keep(answer: Digest | VerifiedDocument): Promise<Descriptor> {
    if (typeof answer !== "string") await this.#cache.write(answer);
    const digest = typeof answer === "string" ? answer : answer.descriptor.digest;
    if (this.#reference.digest === undefined) await this.#cache.remember(this.#reference, digest);
    const descriptor = typeof answer === "string" ? await this.#cache.describe(digest) : answer.descriptor;
    if (descriptor === undefined) throw notHere(`manifest ${digest} of ${this.name}`);
    return descriptor;
  }
}

function kindOf(mediaType: string): "manifest" | "config" | "layer" {
  if (isManifest(mediaType) || isIndex(mediaType)) return "manifest";
  return isConfig(mediaType) || mediaType === SNAPSHOT_CONFIG ? "config" : "layer";
}

function notHere(what: string): CacheMissError {
  return new CacheMissError(`${what} is not here, and it must not be pulled`, {
    hint: "Use the pull policy missing or always once.",
  });
}
