/** A Markdown table whose columns line up as plain text too; numbers to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const [headings = [], ...body] = rows;
  const widths = headings.map((_, i) => Math.max(3, ...rows.map((row) => (row[i] ?? "").length)));
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, i) => (i === 0 ? (cells[i] ?? "").padEnd(width) : (cells[i] ?? "").padStart(width))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(headings), rule, ...body.map(line), ""].join("\n");
}
