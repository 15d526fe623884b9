import { Command } from "commander";
import { listVms, type VmRecord } from "../index.js";
import { printJson, printTable } from "./table.js";

/** `supermachine ps`: what runs in the background. */
export function psCommand(): Command {
  return new Command("ps")
    .option("-a, --all", "those that have ended, too")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  supermachine ps\n  supermachine ps --all --json | jq -r '.[].name'")
    .action(async ({ all, json }: { all?: boolean; json?: boolean }) => {
      const vms = await listVms({ all });
      if (json) return printJson(vms);
      const rows = vms.map((vm) => [
        vm.name,
        vm.image,
        state(vm),
        `${vm.memoryMiB} MiB`,
        vm.command.join(" ").slice(0, 40),
      ]);
      printTable(["NAME", "IMAGE", "STATE", "MEMORY", "COMMAND"], rows);
    });
}

function state({ status, startedAt, endedAt, exitCode, restarts }: VmRecord): string {
  const again = restarts > 0 ? `, restarted ${restarts} times` : "";
  if (status === "running" && startedAt) return `up ${since(startedAt)}${again}`;
  if (status === "exited" && endedAt) return `exited (${exitCode}) ${since(endedAt)} ago${again}`;
  return `${status}${again}`;
}

function since(time: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}
