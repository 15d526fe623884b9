import { stat } from "node:fs/promises";
import { join } from "node:path";
import prettyBytes from "pretty-bytes";
import { home, Image, listImages, type ProgressEvent } from "../src/index.js";

const [archive = "", kind = "python"] = process.argv.slice(2);
const PROGRAMS: Record<string, string[][]> = {
  python: [
    ["python3", "-c", "print(6 * 7)"],
    ["python3", "-c", "import platform, os; print(platform.python_version(), 'on Linux', os.uname().release)"],
    ["sh", "-c", ". /etc/os-release; echo $PRETTY_NAME"],
  ],
  busybox: [
    ["sh", "-c", "echo $((6 * 7))"],
    ["uname", "-sr"],
  ],
};
const COLD_STARTS = 5;

const spans = new Map<string, { start: number; end: number }>();
const image = await Image.fromOci(`oci-archive:${archive}`, { onProgress: record });
const rows: [string, string][] = [];

const cold: number[] = [];
const first: number[] = [];
const next: number[] = [];
for (let i = 0; i < COLD_STARTS; i++) {
  const started = performance.now();
  await using vm = await image.start();
  cold.push(performance.now() - started);
  first.push((await vm.run(["true"])).durationMs);
  next.push((await vm.run(["true"])).durationMs);
  if (i === 0) rows.push(["isolation", vm.isolation]);
}

{
  await using vm = await image.start();
  for (const argv of PROGRAMS[kind] ?? []) {
    const { stdout, exitCode, durationMs } = await vm.run(argv);
    print(`$ ${argv.join(" ")}\n${stdout.trimEnd()}`);
    print(`  (exit code ${exitCode}, ${durationMs.toFixed(0)} ms)\n`);
  }
}

const snapshot = (await listImages()).find(({ name }) => name === image.name);
rows.push(
  ["template boot (once per machine)", span("template")],
  ["layer conversion (once per layer)", span("layer")],
  ["bake (once per image)", span("bake")],
  ["image in the archive", prettyBytes((await stat(archive)).size, { binary: true })],
  ["snapshot", prettyBytes(snapshot?.bytes ?? 0, { binary: true })],
  ["cold restore, process start included", `${median(cold)} ms`],
  ["first command", `${median(first)} ms`],
  ["next command", `${median(next)} ms`],
);
for (const [name, value] of rows) print(`${name.padEnd(38)} ${value}`);
print(
  `\nEverything is kept in ${home().root}.\nTry: npx supermachine run oci-archive:${join(archive)} -- ${kind === "python" ? "python3" : "sh"} -c '...'`,
);

function record({ phase, item, finished }: ProgressEvent): void {
  const now = performance.now();
  const before = spans.get(phase);
  if (!before) process.stderr.write(`${phase} ${item} ...\n`);
  spans.set(phase, { start: before?.start ?? now, end: finished ? now : (before?.end ?? now) });
}

function span(phase: string): string {
  const found = spans.get(phase);
  return found ? `${(found.end - found.start).toFixed(0)} ms` : "was there already";
}

function median(values: number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[sorted.length >> 1] ?? Number.NaN).toFixed(1);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
