import { Command } from "commander";
import { commitVm, findVm } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { collect } from "./options.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { printJson } from "./table.js";

interface CommitFlags extends ProgressFlags {
  change?: string[];
  author?: string;
  message?: string;
  json?: boolean;
}

const EXAMPLES = `
All of the VM's files become one layer, which every VM of the new image shares; its processes and its memory do not. What is mounted is
no part of it, and a VM with volumes cannot be committed. The VM stands still for some milliseconds only.

Examples:
  supermachine commit web web-2
  supermachine commit --change 'CMD ["nginx", "-g", "daemon off;"]' --change 'EXPOSE 8080' web web-2
  supermachine run web-2`;

/** `supermachine commit`: an image of a VM's files. */
export function commitCommand(): Command {
  return new Command("commit")
    .argument("<target>", "a VM's name or the beginning of one, a port or an image")
    .argument("<name>", "name of the new image")
    .option("-c, --change <instruction>", "change the configuration, as in a Dockerfile; can be repeated", collect)
    .option("-a, --author <author>", "who made it, for the image's history")
    .option("-m, --message <text>", "what it is, for the image's history")
    .addOption(progressOption())
    .addOption(quietOption())
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (target: string, name: string, flags: CommitFlags) => {
      const { change: changes, author, message } = flags;
      const signal = onInterrupt();
      const vm = await findVm(target);
      const { id, names } = await withProgress(flags, (onProgress) =>
        commitVm(vm, { names: [name], changes, author, message, onProgress, signal }),
      );
      if (flags.json) printJson({ id, names });
      else process.stdout.write(`${names.join("\n")}\n`);
    });
}
