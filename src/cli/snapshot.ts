import { Command } from "commander";
import { findVm } from "../index.js";
import { onInterrupt } from "./interrupt.js";

const EXAMPLES = `
What is run from the new snapshot goes on where the VM is now, with its processes and its memory. A VM with volumes cannot be captured.

Examples:
  supermachine snapshot web --name web-warm
  supermachine run --detach --publish 8081:80 web-warm`;

/** `supermachine snapshot`: a VM as it is now becomes an image. */
export function snapshotCommand(): Command {
  return new Command("snapshot")
    .argument("[target]", "a VM's name or the beginning of one, a port or an image; without one, the only VM")
    .requiredOption("--name <name>", "name of the new snapshot")
    .addHelpText("after", EXAMPLES)
    .action(async (target: string | undefined, { name }: { name: string }) => {
      const vm = await findVm(target);
      process.stdout.write(`${await vm.snapshot(name, onInterrupt())}\n`);
    });
}
