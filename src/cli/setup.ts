import { Command } from "commander";
import { setup } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { printJson, printTable } from "./table.js";

interface SetupFlags extends ProgressFlags {
  codesign?: boolean;
  json?: boolean;
}

const MORE = `
Every command does this on first use. Called again, it looks for newer versions.

Examples:
  supermachine setup
  supermachine setup --json | jq -r .isolation`;

/** `supermachine setup`: obtains everything a guest needs. */
export function setupCommand(): Command {
  return new Command("setup")
    .option("--codesign", "sign QEMU first, where macOS needs that for its hypervisor (see `supermachine codesign`)")
    .option("--json", "print JSON")
    .addOption(progressOption())
    .addOption(quietOption())
    .addHelpText("after", MORE)
    .action(async ({ json, codesign, ...flags }: SetupFlags) => {
      const signal = onInterrupt();
      const result = await withProgress(flags, (onProgress) => setup({ onProgress, signal, codesign }));
      if (json) return printJson(result);
      const { qemu, kernel, isolation, hypervisorEntitlement } = result;
      const rows = [
        ["qemu", `${qemu.path}, version ${qemu.version}`],
        ["kernel", kernel],
        ["isolation", isolation],
        ...(hypervisorEntitlement === "not needed" ? [] : [["entitlement", hypervisorEntitlement]]),
      ];
      printTable(["PART", "FOUND"], rows);
      if (hypervisorEntitlement === "missing")
        process.stderr.write("QEMU may not use the hypervisor: `supermachine codesign` signs it\n");
    });
}
