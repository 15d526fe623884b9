import { Command } from "commander";
import { findVm } from "../index.js";
import { seconds } from "./detach-options.js";
import { onInterrupt } from "./interrupt.js";

/** `supermachine stop`: ends VMs in order. */
export function stopCommand(): Command {
  return new Command("stop")
    .argument("[target...]", "VMs' names or beginnings of them, ports or images; without one, the only VM")
    .option("-t, --time <seconds>", "the grace (default: what --stop-grace said, else 10)", seconds)
    .addHelpText("after", "\nExamples:\n  supermachine stop web\n  supermachine stop --time 60 db")
    .action((targets: string[], { time }: { time?: number }) => stopVms(targets, time));
}

/** Ends VMs in order and prints their names as they end. */
export async function stopVms(targets: readonly string[], graceSeconds?: number): Promise<void> {
  const signal = onInterrupt();
  const vms = await Promise.all(targets.length > 0 ? targets.map((target) => findVm(target)) : [findVm()]);
  await Promise.all(
    vms.map(async (vm) => {
      await vm.stop({ signal, ...(graceSeconds !== undefined && { graceMs: graceSeconds * 1_000 }) });
      process.stdout.write(`${vm.name}\n`);
    }),
  );
}
