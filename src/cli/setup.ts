import { Command } from "commander";
import { setup } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { progressReporter } from "./progress.js";
import { printJson, printTable } from "./table.js";

/** `supermachine setup`: obtains everything a guest needs. */
export function setupCommand(): Command {
  return new Command("setup")
    .description("find or obtain QEMU, the guest's kernel and the agent, and choose the accelerator")
    .option("--json", "print JSON")
    .addHelpText("after", "\nEvery command does this on first use. Called again, it looks for newer versions.")
    .action(async ({ json }: { json?: boolean }) => {
      const result = await setup({ onProgress: progressReporter(), signal: onInterrupt() });
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
