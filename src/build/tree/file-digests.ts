import { createHash } from "node:crypto";
import type { Stats } from "node:fs";

/** What was known of a file when its content was hashed; a file that was written since differs in one of them. */
interface Known {
  facts: string;
  digest: string;
}

/** A file that was written this short a time ago may be written again without a trace in its times. */
const SETTLED_MS = 2_000;

/** Digests of files on this machine, so that what has not changed since the last build is not read again. */
export class FileDigests {
  readonly #known: Map<string, Known>;
  #isChanged = false;

  constructor(known: Iterable<readonly [string, Known]> = []) {
    this.#known = new Map(known);
  }

  async of(path: string, stats: Stats, content: () => AsyncIterable<Buffer>): Promise<string> {
    const facts = [stats.dev, stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs].join(" ");
    const known = this.#known.get(path);
    if (known?.facts === facts) return known.digest;
    const hash = createHash("sha256");
    for await (const chunk of content()) hash.update(chunk);
    const digest = hash.digest("hex");
    if (Date.now() - stats.ctimeMs > SETTLED_MS) {
      this.#known.set(path, { facts, digest });
      this.#isChanged = true;
    }
    return digest;
  }

  /** What is to be kept for the next build, if anything is new. */
  changed(): [string, Known][] | undefined {
    return this.#isChanged ? [...this.#known] : undefined;
  }
}
