import { join } from "node:path";
import { formatTable } from "./table.js";

/** Where the results of the latest runs are kept. */
export const RESULTS = join(import.meta.dirname, "../results");

/** What one case came to, in the unit of its benchmark. */
export interface CaseResult {
  name: string;
  samples: number[];
  median: number;
  p95: number;
  min: number;
  max: number;
  megabytesPerSecond?: number;
  /** How many times the rival's median this one's goes into. */
  timesFaster?: number;
  target?: number;
}

/** What was measured on. */
export interface Host {
  cpu: string;
  cores: number;
  memoryMiB: number;
  arch: string;
  kernel: string;
  node: string;
}

/** What a benchmark came to: the content of its results file. */
export interface BenchmarkResult {
  name: string;
  title: string;
  unit: string;
  /** The case to which the others are compared. */
  rival?: string;
  date: string;
  host: Host;
  facts: Record<string, string | number>;
  cases: CaseResult[];
}

/** A Markdown table of the cases, with the facts below it. */
export function describe({ cases, unit, rival, facts, host }: BenchmarkResult): string {
  const has = (key: keyof CaseResult) => cases.some((each) => each[key] !== undefined);
  const columns: [heading: string, show: (each: CaseResult) => string][] = [
    ["case", (each) => each.name],
    [`median (${unit})`, (each) => decimals(each.median)],
    ["p95", (each) => decimals(each.p95)],
  ];
  if (has("target")) columns.push(["target", (each) => (each.target === undefined ? "" : `<= ${each.target}`)]);
  if (has("megabytesPerSecond")) columns.push(["MB/s", (each) => decimals(each.megabytesPerSecond)]);
  if (rival) columns.push([`times faster than ${rival}`, (each) => decimals(each.timesFaster)]);
  const rows = cases.map((each) => columns.map(([, show]) => show(each)));
  const lines = [
    `${cases[0]?.samples.length ?? 0} runs each, in turns, on ${host.cores} x ${host.cpu}, Node ${host.node}.\n`,
    formatTable([columns.map(([heading]) => heading), ...rows]),
    ...Object.entries(facts).map(([name, value]) => `- ${name}: ${value}`),
  ];
  return `${lines.join("\n").trim()}\n`;
}

/** Three digits, or more before the point. */
export function decimals(value: number | undefined): string {
  if (value === undefined) return "";
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
