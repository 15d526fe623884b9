import { mkdirSync, writeFileSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { barChart } from "./chart.js";
import { type BenchmarkResult, type CaseResult, describe, type Host, RESULTS } from "./result.js";

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
  /** Default 20. `SUPERMACHINE_BENCH_RUNS` overrides it. */
  runs?: number;
  /** Unmeasured rounds beforehand. Default 1. */
  warmups?: number;
  /** Default "ms". */
  unit?: string;
  /** Facts beside the measures, for the table's foot and the results file. */
  facts?: () => Promise<Record<string, string | number>>;
}

/**
 * Measures the cases in turns, so that whatever slows the machine down slows all of them; prints a Markdown table, and writes
 * all samples to `bench/results/NAME.json` and a chart to `NAME.svg`.
 */
export async function benchmark(options: BenchmarkOptions): Promise<CaseResult[]> {
  const { cases, warmups = 1 } = options;
  const runs = Number(process.env.SUPERMACHINE_BENCH_RUNS ?? options.runs ?? 20);
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
  const { name, title, unit = "ms", rival } = options;
  const facts = (await options.facts?.()) ?? {};
  const date = new Date().toISOString();
  save({ name, title, unit, ...(rival && { rival }), date, host: host(), facts, cases: results });
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

function save(result: BenchmarkResult): void {
  const { name, title, unit, cases } = result;
  const text = `## ${title}\n\n${describe(result)}`;
  console.log(text);
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, `${name}.json`), `${JSON.stringify(result, undefined, 1)}\n`);
  const legend = "bar: median, line: up to p95, green: target";
  writeFileSync(join(RESULTS, `${name}.svg`), barChart(`${title} (${legend})`, unit, cases));
}

function host(): Host {
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
