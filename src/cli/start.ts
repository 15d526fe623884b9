import { Command } from "commander";
import { findVm } from "../index.js";
import { seconds } from "./detach-options.js";
import { onInterrupt } from "./interrupt.js";

/** `supermachine start`: VMs that have ended. */
export function startCommand(): Command {
  return new Command("start")
    .argument("<target...>", "VMs' names or beginnings of them")
    .addHelpText("after", "\nExample:\n  supermachine start web")
    .action(async (targets: string[]) => {
      const signal = onInterrupt();
      for (const target of targets) {
        const vm = await findVm(target, { all: true });
        await vm.start(signal);
        process.stdout.write(`${vm.name}\n`);
      }
    });
}

/** `supermachine restart`: ends VMs and starts them anew. */
export function restartCommand(): Command {
  return new Command("restart")
    .argument("[target...]", "VMs' names or beginnings of them, ports or images; without one, the only VM")
    .option("-t, --time <seconds>", "the grace (default: what --stop-grace said, else 10)", seconds)
    .addHelpText("after", "\nExample:\n  supermachine restart web")
    .action(async (targets: string[], { time }: { time?: number }) => {
      const signal = onInterrupt();
      for (const target of targets.length > 0 ? targets : [undefined]) {
        const vm = await findVm(target, { all: target !== undefined });
        await vm.stop({ signal, ...(time !== undefined && { graceMs: time * 1_000 }) });
        await vm.start(signal);
        process.stdout.write(`${vm.name}\n`);
      }
    });
}
