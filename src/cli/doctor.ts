import { styleText } from "node:util";
import { Command, Option } from "commander";
import prettyBytes from "pretty-bytes";
import {
  type BundleDiagnosis,
  type Diagnosis,
  doctor,
  type Finding,
  type StoreDiagnosis,
  verifyBundle,
  verifyStore,
} from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { printJson } from "./table.js";

const MARKS = { ok: "ok", warning: "warn", problem: "FAIL" } as const;
const COLOURS = { ok: "green", warning: "yellow", problem: "red" } as const;
const EXAMPLES = `
Examples:
  supermachine doctor
  supermachine doctor --store
  supermachine doctor --store --fix && supermachine prune
  supermachine doctor --bundle ./app.bundle`;

interface DoctorFlags extends ProgressFlags {
  store?: boolean;
  fix?: boolean;
  bundle?: string;
  json?: boolean;
}

/** `supermachine doctor`: what this machine has, what works, and what to do about the rest. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .option("--store", "check everything that is kept on disk instead: layers, templates, documents, snapshots")
    .option("--fix", "with --store: remove what is damaged; it is made anew when it is needed")
    .addOption(new Option("--bundle <dir>", "check every byte of a bundle instead").conflicts(["store", "fix"]))
    .option("--json", "print JSON")
    .addOption(progressOption())
    .addOption(quietOption())
    .addHelpText("after", EXAMPLES)
    .action(async ({ store, fix, bundle, json, ...flags }: DoctorFlags, command: Command) => {
      if (fix && !store) command.error("error: option '--fix' needs '--store'");
      const signal = onInterrupt();
      if (bundle !== undefined) {
        const found = await withProgress(flags, (onProgress) => verifyBundle(bundle, { onProgress, signal }));
        return report(found, json, printBundle, ({ problems }) => problems.length === 0);
      }
      if (store) {
        const found = await withProgress(flags, (onProgress) => verifyStore({ onProgress, signal, fix }));
        return report(found, json, printStore, isIntact);
      }
      const diagnosis = await withProgress(flags, (onProgress) => doctor({ onProgress, signal }));
      report(diagnosis, json, print, ({ isolation }) => isolation !== undefined);
    });
}

function report<T>(found: T, json: boolean | undefined, printText: (found: T) => void, isGood: (found: T) => boolean) {
  if (json) printJson(found);
  else printText(found);
  if (!isGood(found)) process.exitCode = 1;
}

function print({ findings, isolation }: Diagnosis): void {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  for (const finding of findings) {
    process.stdout.write(`${mark(finding)}  ${finding.subject.padEnd(width)}  ${finding.detail}\n`);
    if (finding.advice) process.stdout.write(`      ${" ".repeat(width)}  -> ${finding.advice}\n`);
  }
  process.stdout.write(`\nisolation: ${isolation ?? "none: no guest can run here"}\n`);
}

function printStore({ problems, checked }: StoreDiagnosis): void {
  for (const { kind, item, problem, advice, fixed } of problems) {
    process.stdout.write(`${mark({ status: fixed ? "warning" : "problem" })}  ${kind} ${item}: ${problem}\n`);
    process.stdout.write(`      -> ${fixed ? "It was removed. " : ""}${advice}\n`);
  }
  const counts = Object.entries(checked).map(([what, count]) => `${count} ${what}`);
  process.stdout.write(`${mark({ status: "ok" })}  checked ${counts.join(", ")}\n`);
  const left = problems.filter(({ fixed }) => !fixed);
  if (left.length === 0) return;
  const advice = left.length < problems.length ? "" : "; `supermachine doctor --store --fix` removes what is damaged";
  process.stdout.write(`\n${left.length} problem${left.length === 1 ? "" : "s"}${advice}\n`);
}

function printBundle({ path, problems, checked }: BundleDiagnosis): void {
  for (const { path: file, problem } of problems)
    process.stdout.write(`${mark({ status: "problem" })}  ${file} ${problem}\n`);
  if (problems.length > 0) process.stdout.write("      -> Copy the whole folder again, or make the bundle anew.\n");
  const size = prettyBytes(checked.bytes, { binary: true });
  process.stdout.write(`${mark({ status: "ok" })}  checked ${checked.files} files, ${size}, in ${path}\n`);
}

/** What was removed is no longer wrong. */
function isIntact({ problems }: StoreDiagnosis): boolean {
  return problems.every(({ fixed }) => fixed);
}

function mark({ status }: Pick<Finding, "status">): string {
  const text = MARKS[status].padEnd(4);
  return process.stdout.isTTY ? styleText(COLOURS[status], text) : text;
}
