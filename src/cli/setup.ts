import { Command } from "commander";
import { setup } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { printJson, printTable } from "./table.js";

/** `supermachine setup`: obtains everything a guest needs. */
export function setupCommand(): Command {
  return new Command("setup")
    .option("--json", "print JSON")
    .addOption(progressOption())
    .addOption(quietOption())
    .addHelpText("after", "\nEvery command does this on first use. Called again, it looks for newer versions.")
    .action(async ({ json, ...flags }: ProgressFlags & { json?: boolean }) => {
      const signal = onInterrupt();
      const result = await withProgress(flags, (onProgress) => setup({ onProgress, signal }));
      if (json) return printJson(result);
      const { qemu, kernel, isolation } = result;
      const rows = [
        ["qemu", `${qemu.path}, version ${qemu.version}`],
        ["kernel", kernel],
        ["isolation", isolation],
      ];
      printTable(["PART", "FOUND"], rows);
    });
}
