import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Inputs that together run all that is known to be reachable, each in a file of its own. */
export class Corpus {
  readonly #folder: string;

  constructor(name: string) {
    this.#folder = join(import.meta.dirname, "..", "corpus", name);
    mkdirSync(this.#folder, { recursive: true });
  }

  read(): Buffer[] {
    return readdirSync(this.#folder)
      .sort()
      .map((name) => readFileSync(join(this.#folder, name)));
  }

  /** Keeps these and no others. */
  replace(inputs: readonly Buffer[]): void {
    const names = new Set(inputs.map(nameOf));
    for (const input of inputs) writeFileSync(join(this.#folder, nameOf(input)), input);
    for (const name of readdirSync(this.#folder)) if (!names.has(name)) rmSync(join(this.#folder, name));
  }
}

function nameOf(input: Buffer): string {
  return createHash("sha256").update(input).digest("hex").slice(0, 16);
}
