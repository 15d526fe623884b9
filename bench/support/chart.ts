/** One bar: a median, and the p95 as a thin line beyond it. */
export interface Bar {
  name: string;
  median: number;
  p95: number;
  target?: number | undefined;
}

const WIDTH = 860;
const LABELS = 380;
const ROW = 30;
const TOP = 56;
const RIGHT = 90;

/** A bar chart as SVG, on a logarithmic scale since rivals are often a hundred times slower. */
export function barChart(title: string, unit: string, bars: readonly Bar[]): string {
  const values = bars.flatMap(({ median, p95, target }) => [median, p95, target ?? median]);
  const least = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const most = 10 ** Math.ceil(Math.log10(Math.max(...values)));
  const span = WIDTH - LABELS - RIGHT;
  const x = (value: number) => LABELS + (Math.log10(value / least) / Math.log10(most / least)) * span;
  const height = TOP + bars.length * ROW + 30;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="16" y="26" font-size="16" font-weight="600">${escapeText(title)}</text>`,
  ];
  for (let tick = least; tick <= most; tick *= 10) {
    parts.push(
      `<line x1="${x(tick)}" x2="${x(tick)}" y1="${TOP - 8}" y2="${height - 26}" stroke="#e4e4e7"/>`,
      `<text x="${x(tick)}" y="${height - 10}" text-anchor="middle" fill="#71717a">${tick} ${escapeText(unit)}</text>`,
    );
  }
  for (const [row, bar] of bars.entries()) parts.push(...drawBar(bar, TOP + row * ROW, x));
  return `${[...parts, "</svg>"].join("\n")}\n`;
}

function drawBar({ name, median, p95, target }: Bar, y: number, x: (value: number) => number): string[] {
  const middle = y + ROW / 2 - 4;
  const missed = target !== undefined && median > target;
  const parts = [
    `<text x="${LABELS - 10}" y="${middle + 4}" text-anchor="end">${escapeText(name)}</text>`,
    `<rect x="${LABELS}" y="${middle - 8}" width="${Math.max(1, x(median) - LABELS)}" height="16" rx="2" fill="${missed ? "#d97706" : "#2563eb"}"/>`,
    `<line x1="${x(median)}" x2="${x(p95)}" y1="${middle}" y2="${middle}" stroke="#18181b"/>`,
    `<text x="${x(p95) + 8}" y="${middle + 4}" fill="#18181b">${median < 10 ? median.toFixed(1) : median.toFixed(0)}</text>`,
  ];
  if (target !== undefined) {
    parts.push(
      `<line x1="${x(target)}" x2="${x(target)}" y1="${middle - 11}" y2="${middle + 11}" stroke="#16a34a" stroke-width="2"/>`,
    );
  }
  return parts;
}

function escapeText(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
