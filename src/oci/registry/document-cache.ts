import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { ImageError } from "../../errors.js";
import { acquireLock, produceOnce, replace, sweepPartials } from "../../store/index.js";
import { type Digest, digestOf, isDigest, splitDigest } from "../digest.js";
import { type Descriptor, documentType } from "../documents.js";
import { formatReference, type RegistryReference } from "../reference.js";
import type { VerifiedDocument } from "./manifest.js";

const record = v.object({
  schemaVersion: v.literal(1),
  reference: v.string(),
  digest: v.custom<Digest>((value) => typeof value === "string" && isDigest(value)),
  checkedAt: v.pipe(v.number(), v.safeInteger()),
});

/** What a tag was when the registry was last asked. */
export interface KnownReference {
  descriptor: Descriptor & { digest: Digest };
  /** Milliseconds of the epoch. */
  checkedAt: number;
}

/**
 * Manifests, indexes and configs by their digest, and what tags meant, below the folder of blobs: `sha256/HEX`, and
 * `refs/HEX.json` under the SHA-256 of the reference in full. Processes share it; what is damaged counts as absent.
 */
export class DocumentCache {
  readonly #folder: string;
  #swept: Promise<unknown> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The document of that digest, compared with it; `undefined` when it is not there. */
  async read(digest: Digest): Promise<Buffer | undefined> {
    const bytes = await readFile(this.#pathOf(digest)).catch(ignoreMissing);
    return bytes !== undefined && digestOf(bytes, splitDigest(digest).algorithm) === digest ? bytes : undefined;
  }

  /** Keeps a document that was verified. */
  async write({ descriptor: { digest }, bytes }: VerifiedDocument): Promise<void> {
    const path = this.#pathOf(digest);
    const find = () => this.read(digest);
    await this.#sweep();
    await stored(() => produceOnce(path, { find, make: (partial) => writeFile(partial, bytes) }));
  }

  /** The descriptor of a manifest or index that is here, read from the document itself. */
  async describe(digest: Digest): Promise<KnownReference["descriptor"] | undefined> {
    const bytes = await this.read(digest);
    return bytes && { mediaType: documentType(bytes, digest), digest, size: bytes.length };
  }

  /** What the reference meant when it was last asked for, if its document is here too. */
  async recall(reference: RegistryReference): Promise<KnownReference | undefined> {
    const text = await readFile(this.#refPath(reference), "utf8").catch(ignoreMissing);
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), record), text);
    if (!parsed.success || parsed.output.reference !== formatReference(reference)) return undefined;
    const { digest, checkedAt } = parsed.output;
    const descriptor = await this.describe(digest);
    return descriptor && { descriptor, checkedAt };
  }

  /** Notes what the registry says that a reference means now. */
  async remember(reference: RegistryReference, digest: Digest): Promise<void> {
    const path = this.#refPath(reference);
    const content = { schemaVersion: 1, reference: formatReference(reference), digest, checkedAt: Date.now() };
    await stored(async () => {
      await using _lock = await acquireLock(`${path}.lock`);
      await replace(path, (partial) => writeFile(partial, `${JSON.stringify(content)}\n`));
    });
  }

  /** Forgets what the reference meant. Its documents stay. */
  async forget(reference: RegistryReference): Promise<void> {
    const path = this.#refPath(reference);
    await using _lock = await acquireLock(`${path}.lock`);
    await rm(path, { force: true });
  }

  /** Clears what killed processes left. */
  async #sweep(): Promise<void> {
    const folders = ["sha256", "sha512", "refs"].map((name) => join(this.#folder, name));
    this.#swept ??= Promise.all(folders.map(sweepPartials));
    await this.#swept;
  }

  #pathOf(digest: Digest): string {
    const { algorithm, hex } = splitDigest(digest);
    return join(this.#folder, algorithm, hex);
  }

  #refPath(reference: RegistryReference): string {
    const { hex } = splitDigest(digestOf(Buffer.from(formatReference(reference))));
    return join(this.#folder, "refs", `${hex}.json`);
  }
}

async function stored<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (syscall === undefined) throw cause;
    throw new ImageError(`the image's documents cannot be stored: ${code}`, {
      cause,
      hint: "Set SUPERMACHINE_HOME to a folder that can be written to.",
    });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
