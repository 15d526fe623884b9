import { Command } from "commander";
import { findVm, type PublishOptions } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { collect, publishOption } from "./options.js";
import { tellPorts } from "./tell-ports.js";

interface ForkFlags {
  name?: string[];
  publish?: PublishOptions[];
}

const EXAMPLES = `
The clones have the processes and the memory that the VM has now. They go on under names of their own, with the same ports of the
guest on free ports of this machine. A VM with volumes cannot be cloned.

Examples:
  supermachine fork web
  supermachine fork web --name web-2 --publish 8081:80
  supermachine fork web --name a --name b --name c`;

/** `supermachine fork`: clones a VM. */
export function forkCommand(): Command {
  return new Command("fork")
    .argument("[target]", "a VM's name or the beginning of one, a port or an image; without one, the only VM")
    .option("--name <name>", "name of a clone; given several times, so many are made", collect)
    .addOption(publishOption())
    .addHelpText("after", EXAMPLES)
    .action(async (target: string | undefined, { name, publish }: ForkFlags) => {
      const vm = await findVm(target);
      for (const clone of await vm.fork({ names: name, publish, signal: onInterrupt() })) {
        tellPorts((await clone.inspect()).ports ?? []);
        process.stdout.write(`${clone.name}\n`);
      }
    });
}
