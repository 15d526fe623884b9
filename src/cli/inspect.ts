import { Command } from "commander";
import { findVm } from "../index.js";
import { printJson } from "./table.js";

/** `supermachine inspect`: everything that is known of VMs. */
export function inspectCommand(): Command {
  return new Command("inspect")
    .argument("[target...]", "VMs' names or beginnings of them, ports or images; without one, the only VM")
    .addHelpText("after", "\nExample:\n  supermachine inspect web | jq '.[0].status'")
    .action(async (targets: string[]) => {
      const wanted = targets.length > 0 ? targets : [undefined];
      const vms = await Promise.all(wanted.map((target) => findVm(target, { all: true })));
      printJson(await Promise.all(vms.map((vm) => vm.inspect())));
    });
}
