import { Command } from "commander";
import { findVm } from "../index.js";

/** `supermachine pause`: lets VMs stand still. */
export function pauseCommand(): Command {
  return new Command("pause")
    .argument("[target...]", "VMs' names or beginnings of them, ports or images; without one, the only VM")
    .addHelpText("after", "\nExample:\n  supermachine pause web")
    .action(async (targets: string[]) => {
      for (const vm of await findVms(targets)) {
        await vm.pause();
        process.stdout.write(`${vm.name}\n`);
      }
    });
}

/** `supermachine resume`, and `unpause` as docker has it: lets paused VMs go on. */
export function resumeCommand(name: "resume" | "unpause"): Command {
  return new Command(name)
    .argument("[target...]", "VMs' names or beginnings of them, ports or images; without one, the only VM")
    .addHelpText("after", `\nExample:\n  supermachine ${name} web`)
    .action(async (targets: string[]) => {
      for (const vm of await findVms(targets)) {
        await vm.resume();
        process.stdout.write(`${vm.name}\n`);
      }
    });
}

function findVms(targets: string[]) {
  return Promise.all((targets.length > 0 ? targets : [undefined]).map((target) => findVm(target)));
}
