import { Command } from "commander";
import { findVm } from "../index.js";

/** `supermachine rm`: removes what is left of VMs. */
export function rmCommand(): Command {
  return new Command("rm")
    .argument("<target...>", "VMs' names or beginnings of them")
    .option("-f, --force", "end those that run")
    .addHelpText("after", "\nExample:\n  supermachine rm web")
    .action(async (targets: string[], { force }: { force?: boolean }) => {
      const vms = await Promise.all(targets.map((target) => findVm(target, { all: true })));
      await Promise.all(
        vms.map(async (vm) => {
          if (force) await vm.stop({ graceMs: 0 });
          await vm.remove();
          process.stdout.write(`${vm.name}\n`);
        }),
      );
    });
}
