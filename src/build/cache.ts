import { createHash } from "node:crypto";
import { mkdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as v from "valibot";
import type { LayerStore } from "../rootfs/index.js";
import { acquireLock, home, replace } from "../store/index.js";
import type { ImportedCache } from "./shared-cache/index.js";
import { StepEntry, type StepResult } from "./step-entry.js";
import { FileDigests } from "./tree/index.js";

/** Raised when the same instruction would give something else. */
const VERSION = 1;
const STEPS = "steps";
const DIGESTS = "file-digests.json";
/** Of files that one build looks at; more are forgotten. */
const MOST_DIGESTS = 100_000;

/** With a checksum: whatever was not written like this is no entry. */
const Entry = v.object({ ...StepEntry.entries, checksum: v.string() });

const Digests = v.array(v.tuple([v.string(), v.object({ facts: v.string(), digest: v.string() })]));

/** Names what an instruction depends on; the same things give the same key. */
export function stepKey(parts: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify([VERSION, parts]))
    .digest("hex");
}

/** Remembers what instructions have brought about: a small file each, that names a layer of the store. */
export class StepCache {
  readonly #layers: LayerStore;
  readonly #imported: readonly ImportedCache[];
  readonly #folder: string;

  /** @param imported caches of other machines, which are asked in this order for what is not here */
  constructor(layers: LayerStore, imported: readonly ImportedCache[] = [], folder = home().builds) {
    this.#layers = layers;
    this.#imported = imported;
    this.#folder = folder;
  }

  /** What an instruction has brought about, as long as its layer is still there. */
  async find(key: string): Promise<StepResult | undefined> {
    const found = await this.#find(key);
    if (found) return found;
    for (const cache of this.#imported) {
      const result = await cache.find(key, this.#layers);
      if (!result) continue;
      await this.keep(key, result);
      return result;
    }
    return undefined;
  }

  async #find(key: string): Promise<StepResult | undefined> {
    const path = this.#pathOf(key);
    const text = await readFile(path, "utf8").catch(ifMissing);
    if (text === undefined) return undefined;
    const entry = parse(Entry, text);
    if (entry && entry.checksum === checksumOf(key, entry)) {
      const { layer: diffId, createdAt } = entry;
      const layer = diffId === null ? undefined : await this.#layers.find(diffId);
      if (diffId === null || layer) {
        // What was used long ago is pruned first.
        await utimes(path, new Date(), new Date()).catch(() => undefined);
        return { layer, createdAt };
      }
    }
    // Damaged, or its layer was pruned.
    await rm(path, { force: true });
    return undefined;
  }

  async keep(key: string, { layer, createdAt }: StepResult): Promise<void> {
    const entry = { layer: layer?.diffId ?? null, createdAt };
    await write(this.#pathOf(key), JSON.stringify({ ...entry, checksum: checksumOf(key, entry) }));
  }

  /** Keeps others, in this and other processes, from doing the same instruction meanwhile. */
  async holdStep(key: string, signal: AbortSignal | undefined): Promise<AsyncDisposable> {
    return acquireLock(join(this.#folder, STEPS, `${key}.lock`), signal);
  }

  /** The digests of files that earlier builds have read. */
  async fileDigests(): Promise<FileDigests> {
    const text = await readFile(join(this.#folder, DIGESTS), "utf8").catch(ifMissing);
    return new FileDigests(text === undefined ? [] : (parse(Digests, text) ?? []));
  }

  async keepFileDigests(digests: FileDigests): Promise<void> {
    const changed = digests.changed();
    if (changed) await write(join(this.#folder, DIGESTS), JSON.stringify(changed.slice(-MOST_DIGESTS)));
  }

  #pathOf(key: string): string {
    return join(this.#folder, STEPS, `${key}.json`);
  }
}

function checksumOf(key: string, { layer, createdAt }: v.InferOutput<typeof StepEntry>): string {
  return stepKey([key, layer, createdAt]).slice(0, 16);
}

/** Two builds may write the same at a time. */
async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await using _lock = await acquireLock(`${path}.lock`);
  await replace(path, (partial) => writeFile(partial, text));
}

function parse<S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> | undefined {
  try {
    const result = v.safeParse(schema, JSON.parse(text));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
