import { constants } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { findVm } from "../index.js";

/** `supermachine kill`: a signal to the workload of a VM. */
export function killCommand(): Command {
  return new Command("kill")
    .argument("[target...]", "VMs' names or beginnings of them, or their images; without one, the only VM")
    .option("-s, --signal <signal>", "its name or number", signalName, "SIGKILL")
    .addHelpText("after", "\nExample:\n  supermachine kill --signal HUP web")
    .action(async (targets: string[], { signal }: { signal: NodeJS.Signals }) => {
      const vms = await Promise.all(targets.length > 0 ? targets.map((target) => findVm(target)) : [findVm()]);
      for (const vm of vms) {
        await vm.kill(signal);
        process.stdout.write(`${vm.name}\n`);
      }
    });
}

function signalName(text: string): NodeJS.Signals {
  const upper = text.toUpperCase();
  const byNumber = Object.entries(constants.signals).find(([, number]) => String(number) === text)?.[0];
  const name = byNumber ?? (upper.startsWith("SIG") ? upper : `SIG${upper}`);
  if (name in constants.signals) return name as NodeJS.Signals;
  throw new InvalidArgumentError("It is a signal's name or number.");
}
