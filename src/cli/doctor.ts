import { styleText } from "node:util";
import { Command } from "commander";
import { type Diagnosis, doctor, type Finding } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { printJson } from "./table.js";

const MARKS = { ok: "ok", warning: "warn", problem: "FAIL" } as const;
const COLOURS = { ok: "green", warning: "yellow", problem: "red" } as const;

/** `supermachine doctor`: what this machine has, what works, and what to do about the rest. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description("check this machine, boot a guest with each accelerator, and say what to do about problems")
    .option("--json", "print JSON")
    .addOption(progressOption())
    .addOption(quietOption())
    .action(async ({ json, ...flags }: ProgressFlags & { json?: boolean }) => {
      const signal = onInterrupt();
      const diagnosis = await withProgress(flags, (onProgress) => doctor({ onProgress, signal }));
      if (json) printJson(diagnosis);
      else print(diagnosis);
      if (diagnosis.isolation === undefined) process.exitCode = 1;
    });
}

function print({ findings, isolation }: Diagnosis): void {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  for (const finding of findings) {
    process.stdout.write(`${mark(finding)}  ${finding.subject.padEnd(width)}  ${finding.detail}\n`);
    if (finding.advice) process.stdout.write(`      ${" ".repeat(width)}  -> ${finding.advice}\n`);
  }
  process.stdout.write(`\nisolation: ${isolation ?? "none: no guest can run here"}\n`);
}

function mark({ status }: Finding): string {
  const text = MARKS[status].padEnd(4);
  return process.stdout.isTTY ? styleText(COLOURS[status], text) : text;
}
