const GAP = "  ";
const LEAST_WIDTH = 10;

/** How {@link printTable} lays columns out, which are numbered from 0. */
export interface TableLayout {
  /** The column that is cut short where a terminal is too narrow. */
  flexible?: number;
  /** From here on, columns hold numbers, which stand on the right. */
  rightFrom?: number;
}

/** Prints rows under a header, columns as wide as they need. */
export function printTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  layout: TableLayout = {},
): void {
  process.stdout.write(`${tableLines(header, rows, layout).join("\n")}\n`);
}

/** The lines of {@link printTable}. */
export function tableLines(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  layout: TableLayout = {},
): string[] {
  const { flexible = -1, rightFrom = header.length } = layout;
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0)));
  const needed = widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length);
  const missing = process.stdout.isTTY ? Math.max(0, needed - process.stdout.columns) : 0;
  const shrunk = widths.map((width, column) => (column === flexible ? Math.max(width - missing, LEAST_WIDTH) : width));
  return [header, ...rows].map((row) => {
    const cells = row.map((cell, column) => {
      const width = shrunk[column] ?? 0;
      const text = cell.length > width ? `${cell.slice(0, width - 1)}…` : cell;
      return column >= rightFrom ? text.padStart(width) : text.padEnd(width);
    });
    return cells.join(GAP).trimEnd();
  });
}

/** Prints data for programs. */
export function printJson(data: unknown): void {
  process.stdout.write(`${JSON.stringify(data, null, 2)}\n`);
}
