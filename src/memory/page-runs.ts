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
