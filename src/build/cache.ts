import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as v from "valibot";
import type { LayerStore, StoredLayer } from "../rootfs/index.js";
import { acquireLock, home, replace } from "../store/index.js";
import { FileDigests } from "./tree/index.js";

/** Raised when the same instruction would give something else. */
const VERSION = 1;
const STEPS = "steps";
const DIGESTS = "file-digests.json";
/** Of files that one build looks at; more are forgotten. */
const MOST_DIGESTS = 100_000;

const Entry = v.object({
  /** The layer that the instruction has made; null when it changed no file. */
  layer: v.nullable(v.string()),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
});

const Digests = v.array(v.tuple([v.string(), v.object({ facts: v.string(), digest: v.string() })]));

/** What an instruction brought about. */
export interface StepResult {
  layer: StoredLayer | undefined;
  createdAt: string;
}

/** Names what an instruction depends on; the same things give the same key. */
export function stepKey(parts: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify([VERSION, parts]))
    .digest("hex");
}

/** Remembers what instructions have brought about: a small file each, that names a layer of the store. */
export class StepCache {
  readonly #layers: LayerStore;
  readonly #folder: string;

  constructor(layers: LayerStore, folder = home().builds) {
    this.#layers = layers;
    this.#folder = folder;
  }

  /** What an instruction has brought about, as long as its layer is still there. */
  async find(key: string): Promise<StepResult | undefined> {
    const path = this.#pathOf(key);
    const text = await readFile(path, "utf8").catch(ifMissing);
    if (text === undefined) return undefined;
    const entry = parse(Entry, text);
    if (entry?.layer === null) return { layer: undefined, createdAt: entry.createdAt };
    const layer = entry && (await this.#layers.find(entry.layer));
    if (layer) return { layer, createdAt: entry.createdAt };
    // Damaged, or its layer was pruned.
    await rm(path, { force: true });
    return undefined;
  }

  async keep(key: string, { layer, createdAt }: StepResult): Promise<void> {
    const entry: v.InferOutput<typeof Entry> = { layer: layer?.diffId ?? null, createdAt };
    await write(this.#pathOf(key), JSON.stringify(entry));
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
