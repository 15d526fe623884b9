import { Command, InvalidArgumentError } from "commander";
import { findVm, parseSignal } from "../index.js";

/** `supermachine kill`: a signal to the workload of a VM. */
export function killCommand(): Command {
  return new Command("kill")
    .argument("[target...]", "VMs' names or beginnings of them, ports or images; without one, the only VM")
    .option("-s, --signal <signal>", "its name or number", signal, "SIGKILL")
    .addHelpText("after", "\nExample:\n  supermachine kill --signal HUP web")
    .action(async (targets: string[], { signal }: { signal: NodeJS.Signals | number }) => {
      const vms = await Promise.all(targets.length > 0 ? targets.map((target) => findVm(target)) : [findVm()]);
      for (const vm of vms) {
        await vm.kill(signal);
        process.stdout.write(`${vm.name}\n`);
      }
    });
}

function signal(text: string): NodeJS.Signals | number {
  const parsed = parseSignal(text);
  if (parsed !== undefined) return parsed;
  throw new InvalidArgumentError("It is a signal's name or number.");
}
