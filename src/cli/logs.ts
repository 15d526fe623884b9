import { once } from "node:events";
import { Command } from "commander";
import { findVm } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { moment, wholeNumber } from "./options.js";

interface LogFlags {
  follow?: boolean;
  tail?: number;
  since?: Date;
  timestamps?: boolean;
  router?: boolean;
}

/** `supermachine logs`: what the workload of a VM in the background wrote. */
export function logsCommand(): Command {
  return new Command("logs")
    .argument("[target]", "a VM's name or the beginning of one, a port or an image; without one, the only VM")
    .option("-f, --follow", "go on until the VM ends")
    .option("-n, --tail <lines>", "only the last lines", wholeNumber)
    .option(
      "--since <time>",
      "only lines from then on: a time such as 2026-11-21T10:00:00Z, or an age such as 10m",
      moment,
    )
    .option("--router", "the requests that its HTTP port dealt with, instead of what its workload wrote")
    .option("-t, --timestamps", "print the time of every line")
    .addHelpText("after", "\nExamples:\n  supermachine logs -f web\n  supermachine logs --since 10m --tail 100 web")
    .action(async (target: string | undefined, { timestamps, ...options }: LogFlags) => {
      const signal = onInterrupt();
      const vm = await findVm(target, { all: true });
      for await (const { time, stream, text } of vm.logs({ ...options, signal })) {
        const output = process[stream];
        if (!output.write(timestamps ? `${time} ${text}` : text)) await once(output, "drain");
      }
    });
}
