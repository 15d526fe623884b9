// Writes what was measured, from bench/results/: docs/performance.md whole, and the figures in README.md. `npm run docs` does it. With
// --check it only says whether they are up to date.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BenchmarkResult, decimals, describe, RESULTS } from "../bench/support/result.js";
import { formatTable } from "../bench/support/table.js";

const INTRODUCTION = `# What is measured

Written by \`npm run docs\` from [bench/results/](../bench/results/), where every sample is kept. \`npm run bench\` measures all again, \`npm run bench -- NAME\`
one; \`SUPERMACHINE_BENCH_RUNS\` says how often each case is run, instead of what suits it.

**How to read it.** The cases of one table were run in turns, rivals included, so that whatever slowed the machine down slowed all of them:
ratios mean more than times. A bar of a chart is the median, its line goes up to the 95th percentile, and a green mark is the target. Without
hardware virtualisation QEMU translates every instruction of the guest, kernel included: what a guest computes takes about ten times as long as
natively, while the containers beside it run natively and share the host's kernel. With KVM the parts of the host remain, and the guest's
parts nearly vanish. Commands are started without \`NODE_EXTRA_CA_CERTS\`: where that is set, Node parses certificates before it begins, and each
of them takes 30 to 60 ms more here.
`;

/** The order of the page. */
const ORDER = [
  ...["restore", "pool-1", "pool-4", "pool-16", "pool-burst", "pool-memory", "fork", "snapshot", "exec", "streams"],
  ...["network", "connections", "network-latency", "edge-throughput", "edge-latency", "edge-wake", "edge-detached"],
  ...["copy-in-large", "copy-out-large", "copy-in-small", "copy-out-small", "io"],
  ...["writable", "layers", "pull"],
  ...["build-cached", "build-changed", "build-whole"],
];

/** The README's rows: what it is called there, the benchmark, and the case. */
const KEY_FIGURES: [what: string, benchmark: string, name: string][] = [
  ["`acquire()`, a VM idles", "pool-1", "acquire, a VM idles"],
  ["`acquire()`, run `true`, release", "pool-1", "acquire, run true, release; VMs idle"],
  ["process start, restore, first command", "restore", "cold restore to the first command's answer"],
  ["restore on a spare, disks included", "restore", "spare: disks, delta and state to running"],
  ["bake of a new image", "restore", "bake, layers and template present"],
  ["run `true` in a warm VM", "exec", "run true (mean of 10 in a row)"],
  ["pause for a snapshot of 4 GiB", "snapshot", "guest stands still, 4096 MiB"],
  ["fork of 10", "fork", "fork of 10"],
  ["memory of its own of each of 20 idle VMs", "pool-memory", "20 idle"],
  ["request through the edge, one connection", "edge-latency", "nginx through the edge"],
  ["request that wakes its service", "edge-wake", "until the whole answer is there"],
  ["`run -d` of a baked service, first answer", "edge-detached", "nginx listens in the snapshot"],
  ["the same, with its server started afresh", "edge-detached", "nginx is started afresh"],
  ["build with everything cached", "build-cached", "supermachine build"],
  ["build with one line changed, bake included", "build-changed", "buildImage(), the command and the bake included"],
  ["layer: tar to a file system", "layers", "tar -> EROFS, digests verified"],
  ["pull of 394 MB", "pull", "supermachine: fetch, verify, convert"],
];

const root = join(import.meta.dirname, "..");
const results = new Map(readResults().map((result) => [result.name, result]));
const pages = { "docs/performance.md": page(), "README.md": readme() };
for (const [name, text] of Object.entries(pages)) {
  const path = join(root, name);
  if (!process.argv.includes("--check")) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) {
    process.stderr.write(`${name} does not have the figures of bench/results; \`npm run docs\` writes them anew\n`);
    process.exitCode = 1;
  }
}

function readResults(): BenchmarkResult[] {
  const files = readdirSync(RESULTS).filter((name) => name.endsWith(".json"));
  const found: BenchmarkResult[] = files.map((name) => JSON.parse(readFileSync(join(RESULTS, name), "utf8")));
  const unknown = found.find(({ name }) => !ORDER.includes(name));
  if (unknown) throw new Error(`give the benchmark ${unknown.name} its place in the ORDER of ${import.meta.filename}`);
  return found.sort((a, b) => ORDER.indexOf(a.name) - ORDER.indexOf(b.name));
}

function page(): string {
  const sections = [...results.values()].map((result) => {
    const chart = `![${result.title}](../bench/results/${result.name}.svg)`;
    return `## ${result.title}\n\n${result.date.slice(0, 10)}. ${describe(result)}\n${chart}\n`;
  });
  return [INTRODUCTION, ...sections].join("\n");
}

function readme(): string {
  const rows = KEY_FIGURES.map(([what, benchmark, name]) => {
    const { cases, unit, rival } = resultOf(benchmark);
    const own = caseOf(cases, name);
    const other = cases.find((each) => each.name === rival);
    const target = own.target === undefined ? "" : `<= ${own.target} ${unit}`;
    return [what, measure(own.median, unit), target, other ? `${rival}: ${measure(other.median, unit)}` : ""];
  });
  const table = formatTable([["median of", "here", "target", "rival in the same run"], ...rows]);
  const text = readFileSync(join(root, "README.md"), "utf8");
  return text.replace(/(<!-- figures -->\n)[\s\S]*?(?=<!-- end of figures -->)/, `$1\n${table}\n`);
}

function resultOf(benchmark: string): BenchmarkResult {
  const result = results.get(benchmark);
  if (!result) throw new Error(`bench/results has no ${benchmark}: npm run bench`);
  return result;
}

function caseOf(cases: BenchmarkResult["cases"], name: string) {
  const found = cases.find((each) => each.name === name);
  if (!found)
    throw new Error(
      `no case is called ${JSON.stringify(name)}; there are ${cases.map((each) => each.name).join("; ")}`,
    );
  return found;
}

/** Times of a second and more are easier to compare in seconds. */
function measure(value: number, unit: string): string {
  return unit === "ms" && value >= 1_000 ? `${decimals(value / 1_000)} s` : `${decimals(value)} ${unit}`;
}
