import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { VmError } from "../errors.js";
import { Delta } from "./delta.js";
import { PAGE_SIZE, type PageRun, pageBuffer, RunCollector } from "./page-runs.js";
import { readFully, writeFully } from "./process-memory.js";
import type { MemoryStrategy, RamFile, WorkerRam } from "./strategy.js";

const PAGEMAP_ENTRY = 8;
/** Pages whose pagemap entries are read at once (512 KiB of entries, 256 MiB of RAM). */
const PAGEMAP_BATCH = 65_536;
/** The entries of 2 MiB of RAM that nobody has touched: most of a large guest, passed over without a look at each page. */
const UNTOUCHED = Buffer.alloc(512 * PAGEMAP_ENTRY);
/** Bits of a pagemap entry's upper half (Documentation/admin-guide/mm/pagemap.rst): 63, 62 and 61 of the whole. */
const PRESENT = 0x8000_0000;
const SWAPPED = 0x4000_0000;
const FILE_BACKED = 0x2000_0000;

/**
 * Linux: every worker maps the template's RAM copy-on-write, so all of them share its pages in the page cache. The
 * pages a guest wrote to are private to the process, and the kernel's pagemap tells which those are.
 *
 * The reads and writes are synchronous on purpose: a delta of 4 MiB takes 2 ms so, and 20 ms as a thousand jobs of the
 * thread pool.
 */
export const procfs: MemoryStrategy = {
  name: "procfs",
  async open(template) {
    return new PrivateMapping(privateMapping(template));
  },
  commonFile: privateMapping,
};

function privateMapping(template: string): RamFile {
  return { path: template, shared: false };
}

class PrivateMapping implements WorkerRam {
  readonly file: RamFile;

  constructor(file: RamFile) {
    this.file = file;
  }

  async apply(pid: number, delta: Delta): Promise<void> {
    const mapping = this.#find(pid);
    if (mapping.bytes !== delta.ramBytes) {
      throw new VmError(`a snapshot of ${delta.ramBytes} bytes of RAM does not fit a guest of ${mapping.bytes} bytes`);
    }
    const memory = openSync(`/proc/${pid}/mem`, "r+");
    try {
      let from = 0;
      for (const { first, count } of delta.runs) {
        const bytes = count * PAGE_SIZE;
        writeFully(memory, delta.pages, from, bytes, mapping.address + first * PAGE_SIZE);
        from += bytes;
      }
    } finally {
      closeSync(memory);
    }
  }

  async capture(pid: number): Promise<Delta> {
    const mapping = this.#find(pid);
    const { runs, pages } = ownPages(pid, mapping);
    const buffer = pageBuffer(pages);
    const memory = openSync(`/proc/${pid}/mem`, "r");
    try {
      let to = 0;
      for (const { first, count } of runs) {
        const bytes = count * PAGE_SIZE;
        readFully(memory, buffer, to, bytes, mapping.address + first * PAGE_SIZE);
        to += bytes;
      }
    } finally {
      closeSync(memory);
    }
    return new Delta(mapping.bytes, runs, buffer);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Finds the mapping by the file's identity: names in /proc/PID/maps are escaped and may be stale after a rename. */
  #find(pid: number): { address: number; bytes: number } {
    const { ino } = statSync(this.file.path);
    let [from, to] = [0, 0];
    for (const line of readMaps(pid).split("\n")) {
      // 7f0a-7f0b rw-p OFFSET MAJOR:MINOR INODE PATH; the kernel may show one mapping in several adjacent lines.
      const [, range = "", inode] = /^(\S+) \S+ \S+ \S+ (\d+) .*ram\.img/.exec(line) ?? [];
      if (Number(inode) !== ino) continue;
      const [start = 0, end = 0] = range.split("-").map((part) => Number.parseInt(part, 16));
      from ||= start;
      to = end;
    }
    if (from > 0) return { address: from, bytes: to - from };
    throw new VmError(`process ${pid} does not map ${this.file.path}`, {
      hint: "The template was replaced while the guest ran, or the process has ended.",
    });
  }
}

/** The process's mappings; none once it has ended. */
function readMaps(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/maps`, "latin1");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
    throw error;
  }
}

/** The pages that are private to the process: present and not of the file, or swapped out. */
function ownPages(pid: number, mapping: { address: number; bytes: number }): { runs: PageRun[]; pages: number } {
  const total = mapping.bytes / PAGE_SIZE;
  const found = new RunCollector();
  const entries = Buffer.allocUnsafe(Math.min(PAGEMAP_BATCH, total) * PAGEMAP_ENTRY);
  const halves = new Uint32Array(entries.buffer, entries.byteOffset, entries.length / 4);
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    for (let start = 0; start < total; start += PAGEMAP_BATCH) {
      const count = Math.min(PAGEMAP_BATCH, total - start);
      const position = (mapping.address / PAGE_SIZE + start) * PAGEMAP_ENTRY;
      readFully(pagemap, entries, 0, count * PAGEMAP_ENTRY, position);
      for (let from = 0; from < count; from += UNTOUCHED.length / PAGEMAP_ENTRY) {
        const to = Math.min(from + UNTOUCHED.length / PAGEMAP_ENTRY, count);
        if (isUntouched(entries.subarray(from * PAGEMAP_ENTRY, to * PAGEMAP_ENTRY))) continue;
        for (let i = from; i < to; i++) {
          const upper = halves[i * 2 + 1] ?? 0;
          if (upper & SWAPPED || (upper & PRESENT && !(upper & FILE_BACKED))) found.add(start + i);
        }
      }
    }
  } finally {
    closeSync(pagemap);
  }
  return found;
}

function isUntouched(entries: Buffer): boolean {
  return entries.compare(UNTOUCHED, 0, entries.length) === 0;
}
