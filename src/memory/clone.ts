import { type FileHandle, open } from "node:fs/promises";
import { VmError } from "../errors.js";
import { openScratch, type Scratch } from "../store/index.js";
import { copySparse } from "./copy-sparse.js";
import { Delta } from "./delta.js";
import { PAGE_SIZE, type PageRun, RunCollector } from "./page-runs.js";
import type { MemoryStrategy, RamFile, WorkerRam } from "./strategy.js";
import { writeFully } from "./write-fully.js";

/** What the copies end in; those of dead owners are swept by it. */
export const RAM_COPY = "ram";
const CHUNK = 1 << 20;

/**
 * Any POSIX system: every worker gets a copy of the template's RAM as a file of its own, by reflink where the file
 * system can (APFS, XFS, Btrfs) and as a sparse copy elsewhere, and maps it shared, so the file always holds the guest's memory.
 * What differs from the template is found by comparing the two files.
 *
 * @param folder where the copies live while their workers do
 */
export function clone(folder: string): MemoryStrategy {
  return {
    name: "clone",
    async open(template) {
      const ram = new FileCopy(template, await openScratch(folder, RAM_COPY));
      try {
        await copySparse(template, ram.file.path);
      } catch (error) {
        await ram[Symbol.asyncDispose]();
        throw error;
      }
      return ram;
    },
    commonFile: () => undefined,
  };
}

class FileCopy implements WorkerRam {
  readonly file: RamFile;
  readonly #template: string;
  readonly #scratch: Scratch;

  constructor(template: string, scratch: Scratch) {
    this.#template = template;
    this.file = { path: scratch.path, shared: true };
    this.#scratch = scratch;
  }

  async apply(_pid: number, delta: Delta): Promise<void> {
    await using file = await open(this.file.path, "r+");
    const { size } = await file.stat();
    if (size !== delta.ramBytes) {
      throw new VmError(`a snapshot of ${delta.ramBytes} bytes of RAM does not fit a guest of ${size} bytes`);
    }
    let from = 0;
    for (const { first, count } of delta.runs) {
      const bytes = count * PAGE_SIZE;
      await writeFully(file, delta.pages.subarray(from, from + bytes), first * PAGE_SIZE);
      from += bytes;
    }
  }

  async capture(): Promise<Delta> {
    await using template = await open(this.#template, "r");
    await using own = await open(this.file.path, "r");
    return await difference(template, own);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scratch[Symbol.asyncDispose]();
  }
}

async function difference(template: FileHandle, own: FileHandle): Promise<Delta> {
  const { size } = await own.stat();
  const found = new RunCollector();
  const pages: Buffer[] = [];
  const [before, after] = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)];
  for (let start = 0; start < size; start += CHUNK) {
    const bytes = Math.min(CHUNK, size - start);
    await Promise.all([template.read(before, 0, bytes, start), own.read(after, 0, bytes, start)]);
    if (before.compare(after, 0, bytes, 0, bytes) === 0) continue;
    for (let at = 0; at < bytes; at += PAGE_SIZE) {
      if (before.compare(after, at, at + PAGE_SIZE, at, at + PAGE_SIZE) === 0) continue;
      found.add((start + at) / PAGE_SIZE);
      pages.push(Buffer.from(after.subarray(at, at + PAGE_SIZE)));
    }
  }
  return new Delta(size, found.runs satisfies PageRun[], Buffer.concat(pages));
}
