import { resolve } from "node:path";
import { ImageError, NoSpaceError, SupermachineError } from "../../errors.js";
import {
  type Descriptor,
  type ImageOrigin,
  openSource,
  parseManifest,
  parseReference,
  type RegistryAuth,
  readDocument,
} from "../../oci/index.js";
import type { LayerStore, StoredLayer } from "../../rootfs/index.js";
import type { StepResult } from "../step-entry.js";
import { CACHE_CONFIG, parseSharedSteps, type SharedStep } from "./format.js";
import { type CacheSource, placeName } from "./place.js";

/** How caches of other machines are read. */
export interface ImportOptions {
  registryAuth?: RegistryAuth | undefined;
  signal?: AbortSignal | undefined;
  /** Is told of what cannot be read: a cache makes a build quicker, and without one it goes on. */
  warn: (message: string) => void;
}

/** A cache of another machine. Its list of steps is read at once; a layer is fetched when a step needs it, and verified. */
export class ImportedCache implements AsyncDisposable {
  readonly #origin: ImageOrigin;
  readonly #steps: ReadonlyMap<string, SharedStep>;
  readonly #layers: ReadonlyMap<string, Descriptor>;
  readonly #options: ImportOptions;
  #isUsable = true;

  private constructor(
    origin: ImageOrigin,
    steps: readonly SharedStep[],
    layers: readonly Descriptor[],
    options: ImportOptions,
  ) {
    this.#origin = origin;
    this.#steps = new Map(steps.map((step) => [step.key, step]));
    this.#layers = new Map(layers.map((layer) => [layer.digest, layer]));
    this.#options = options;
  }

  /** `undefined`, and a warning, when it is not there or cannot be read. */
  static async open(source: CacheSource, options: ImportOptions): Promise<ImportedCache | undefined> {
    let origin: ImageOrigin | undefined;
    try {
      origin = await openPlace(source, options);
      const { steps, layers } = await readSteps(origin, options.signal);
      return new ImportedCache(origin, steps, layers, options);
    } catch (error) {
      await origin?.[Symbol.asyncDispose]();
      explain(error, `the cache ${placeName(source)} is not used`, options);
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#origin[Symbol.asyncDispose]();
  }

  /** What an instruction has brought about elsewhere, with its layer in `store`. */
  async find(key: string, store: LayerStore): Promise<StepResult | undefined> {
    const step = this.#isUsable ? this.#steps.get(key) : undefined;
    if (step === undefined) return undefined;
    const { layer: diffId, createdAt } = step;
    if (diffId === null) return { layer: undefined, createdAt };
    try {
      const layer = (await store.find(diffId)) ?? (await this.#fetch(diffId, store));
      return layer.empty ? undefined : { layer, createdAt };
    } catch (error) {
      this.#isUsable = false;
      explain(error, `the cache ${this.#origin.name} is not used any further`, this.#options);
      return undefined;
    }
  }

  async #fetch(diffId: string, store: LayerStore): Promise<StoredLayer> {
    const { signal } = this.#options;
    const blob = this.#layers.get(diffId);
    if (blob === undefined) throw new ImageError(`it has a step, but not its layer ${diffId}`);
    const { mediaType, size } = blob;
    const open = () => this.#origin.open(blob, signal);
    return await store.ensure({ diffId, blobDigest: blob.digest, mediaType, size }, open, { signal });
  }
}

/** Steps and layers of what is a cache. @throws ImageError for what is none */
export async function readSteps(
  origin: ImageOrigin,
  signal?: AbortSignal,
): Promise<{ steps: SharedStep[]; layers: Descriptor[] }> {
  const [root, second] = origin.roots;
  if (root === undefined || second !== undefined) throw new ImageError(`${origin.name} holds no build cache`);
  const { config, layers } = parseManifest(
    await readDocument(origin, root, "manifest", signal),
    `manifest ${root.digest} in ${origin.name}`,
  );
  if (config.mediaType !== CACHE_CONFIG) throw new ImageError(`${origin.name} is an image, not a build cache`);
  const bytes = await readDocument(origin, config, "config", signal);
  return { steps: parseSharedSteps(bytes, `config ${config.digest} in ${origin.name}`), layers };
}

function openPlace(source: CacheSource, { registryAuth, signal }: ImportOptions): Promise<ImageOrigin> {
  if (source.type === "local") return openSource({ kind: "oci-layout", path: resolve(source.src) }, { signal });
  const reference = parseReference(source.ref);
  return openSource({ kind: "registry", reference }, { pull: "always", registryAuth, signal });
}

/** Only what is wrong with the cache itself is a warning. */
function explain(error: unknown, what: string, { signal, warn }: ImportOptions): void {
  signal?.throwIfAborted();
  if (!SupermachineError.is(error) || error instanceof NoSpaceError) throw error;
  warn(`${what}: ${error.message.split("\n")[0]}`);
}
