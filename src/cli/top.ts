import { Command } from "commander";
import { findVm } from "../index.js";
import { bytesText, secondsText } from "./quantities.js";
import { printJson, printTable } from "./table.js";

/** `supermachine top`: what runs in a VM. */
export function topCommand(): Command {
  return new Command("top")
    .argument("[target]", "a VM's name or the beginning of one, a port or an image; without one, the only VM")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  supermachine top web\n  supermachine top --json web | jq -r '.[].name'")
    .action(async (target: string | undefined, { json }: { json?: boolean }) => {
      const processes = await (await findVm(target)).processes();
      if (json) return printJson(processes);
      const rows = processes.map(({ pid, parentPid, uid, state, memoryBytes, cpuMs, argv, name }) => [
        ...[pid, parentPid, uid].map(String),
        ...[state, bytesText(memoryBytes), secondsText(cpuMs)],
        printable(argv.length > 0 ? argv.join(" ") : `[${name}]`),
      ]);
      printTable(["PID", "PPID", "UID", "STATE", "MEMORY", "CPU", "COMMAND"], rows, { flexible: 6 });
    });
}

/** Processes choose their arguments: what a terminal obeys is left out. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, "?");
}
