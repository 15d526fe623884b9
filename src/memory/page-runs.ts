import { constants } from "node:buffer";
import { VmError } from "../errors.js";

/** Bytes of a page; templates and deltas are made of pages of this size on every supported host. */
export const PAGE_SIZE = 4096;

/** `count` pages that follow each other, from page number `first` of the guest's RAM on. */
export interface PageRun {
  first: number;
  count: number;
}

/** Collects page numbers, which must come in rising order, into runs. */
export class RunCollector {
  readonly runs: PageRun[] = [];
  pages = 0;

  add(page: number): void {
    const last = this.runs.at(-1);
    if (last && last.first + last.count === page) last.count++;
    else this.runs.push({ first: page, count: 1 });
    this.pages++;
  }
}

/** Room for the content of `count` pages. @throws VmError when that is more than this process can hold at once */
export function pageBuffer(count: number): Buffer {
  const bytes = count * PAGE_SIZE;
  if (bytes <= constants.MAX_LENGTH) return Buffer.allocUnsafe(bytes);
  const gibibytes = (size: number) => `${(size / 2 ** 30).toFixed(1)} GiB`;
  throw new VmError(
    `the guest has changed ${gibibytes(bytes)} of its memory; ${gibibytes(constants.MAX_LENGTH)} can be captured`,
    {
      hint: "Free memory in the guest, or use a later version of Node, which can hold more.",
    },
  );
}
