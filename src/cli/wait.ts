import { Command } from "commander";
import { findVm } from "../index.js";
import { onInterrupt } from "./interrupt.js";

/** `supermachine wait`: the end of VMs. */
export function waitCommand(): Command {
  return new Command("wait")
    .argument("[target...]", "VMs' names or beginnings of them, ports or images; without one, the only VM")
    .addHelpText("after", "\nExample:\n  supermachine wait job")
    .action(async (targets: string[]) => {
      const signal = onInterrupt();
      const all = { all: true };
      const vms = await Promise.all(targets.length > 0 ? targets.map((target) => findVm(target, all)) : [findVm()]);
      for (const code of await Promise.all(vms.map((vm) => vm.wait(signal)))) process.stdout.write(`${code}\n`);
    });
}
