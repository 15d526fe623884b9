import { mkdirSync, writeFileSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { barChart } from "./chart.js";
import { formatTable } from "./table.js";

/** One thing that is measured, as often as the benchmark says. */
export interface Case {
  name: string;
  /** Does the thing once. What it gives is taken as the measure, in `unit`; otherwise the time it took in ms is. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a promise of nothing is the ordinary case
  run: (round: number) => Promise<number | void>;
  /** Is run before each round, unmeasured. */
  before?: () => Promise<void>;
  /** Bytes that one run works on: gives a column of MB/s (10^6 bytes). */
  bytes?: number;
  /** What the result ought to be at the median, in the unit of the measure; only shown. */
  target?: number;
}

export interface BenchmarkOptions {
  /** The name of the results file. */
  name: string;
  /** What was measured, on what; stands above the table. */
  title: string;
  cases: Case[];
  /** The case to which the others are compared. */
  rival?: string;
  /** Default 20, or `SUPERMACHINE_BENCH_RUNS`. */
  runs?: number;
  /** Unmeasured rounds beforehand. Default 1. */
  warmups?: number;
  /** Default "ms". */
  unit?: string;
  /** Facts beside the measures, for the table's foot and the results file. */
  facts?: () => Promise<Record<string, string | number>>;
}

/** What one case came to. */
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

/**
 * Measures the cases in turns, so that whatever slows the machine down slows all of them; prints a Markdown table, and writes
 * all samples to `bench/results/NAME.json`, the table to `NAME.md` and a chart to `NAME.svg`.
 */
export async function benchmark(options: BenchmarkOptions): Promise<CaseResult[]> {
  const { cases, runs = Number(process.env.SUPERMACHINE_BENCH_RUNS ?? 20), warmups = 1 } = options;
  const samples = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
  for (let round = -warmups; round < runs; round++) {
    for (const each of cases) {
      const sample = await measure(each, round);
      if (round >= 0) samples.get(each.name)?.push(sample);
    }
    process.stderr.write(round < 0 ? "warm-up\n" : `round ${round + 1}/${runs}\n`);
  }
  const rivalSamples = options.rival === undefined ? undefined : samples.get(options.rival);
  const results = cases.map((each) => summarize(each, samples.get(each.name) ?? [], rivalSamples));
  const facts = (await options.facts?.()) ?? {};
  const table = describe(options, results, facts);
  console.log(table);
  save(options, results, facts, table);
  return results;
}

async function measure(each: Case, round: number): Promise<number> {
  await each.before?.();
  const start = performance.now();
  const own = await each.run(round);
  return own ?? performance.now() - start;
}

function summarize(each: Case, samples: number[], rival: number[] | undefined): CaseResult {
  const median = percentile(samples, 50);
  return {
    name: each.name,
    samples,
    median,
    p95: percentile(samples, 95),
    min: Math.min(...samples),
    max: Math.max(...samples),
    ...(each.bytes === undefined ? {} : { megabytesPerSecond: each.bytes / 1e6 / (median / 1e3) }),
    ...(rival === undefined || rival === samples ? {} : { timesFaster: percentile(rival, 50) / median }),
    ...(each.target === undefined ? {} : { target: each.target }),
  };
}

/** The smallest sample that is not below `percent` % of them (nearest rank). */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

function describe(options: BenchmarkOptions, results: CaseResult[], facts: Record<string, string | number>): string {
  const { unit = "ms", rival } = options;
  const has = (key: keyof CaseResult) => results.some((each) => each[key] !== undefined);
  const columns: [heading: string, show: (each: CaseResult) => string][] = [
    ["case", (each) => each.name],
    [`median (${unit})`, (each) => decimals(each.median)],
    ["p95", (each) => decimals(each.p95)],
  ];
  if (has("target")) columns.push(["target", (each) => (each.target === undefined ? "" : `<= ${each.target}`)]);
  if (has("megabytesPerSecond")) columns.push(["MB/s", (each) => decimals(each.megabytesPerSecond)]);
  if (rival) columns.push([`times faster than ${rival}`, (each) => decimals(each.timesFaster)]);
  const rows = results.map((each) => columns.map(([, show]) => show(each)));
  const { cpu, cores, node } = host();
  const lines = [
    `## ${options.title}\n`,
    `${results[0]?.samples.length ?? 0} runs each, in turns, on ${cores} x ${cpu}, Node ${node}.\n`,
    formatTable([columns.map(([heading]) => heading), ...rows]),
    ...Object.entries(facts).map(([name, value]) => `- ${name}: ${value}`),
  ];
  return `${lines.join("\n")}\n`;
}

function decimals(value: number | undefined): string {
  if (value === undefined) return "";
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

function save(
  options: BenchmarkOptions,
  cases: CaseResult[],
  facts: Record<string, string | number>,
  table: string,
): void {
  const folder = join(import.meta.dirname, "..", "results");
  mkdirSync(folder, { recursive: true });
  const { name, title, unit = "ms", rival } = options;
  const content = { name, title, unit, rival, date: new Date().toISOString(), host: host(), facts, cases };
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(content, undefined, 1)}\n`);
  writeFileSync(join(folder, `${name}.md`), table);
  const legend = "bar: median, line: up to p95, green: target";
  writeFileSync(join(folder, `${name}.svg`), barChart(`${title} (${legend})`, unit, cases));
}

function host() {
  const [cpu] = cpus();
  return {
    cpu: cpu?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    arch: arch(),
    kernel: release(),
    node: process.versions.node,
  };
}
