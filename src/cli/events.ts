import { once } from "node:events";
import { Command } from "commander";
import { findVm, readEvents, type VmEvent } from "../index.js";
import { Interrupted, onInterrupt } from "./interrupt.js";
import { moment } from "./options.js";

interface EventFlags {
  since?: Date;
  /** commander's name for `--no-follow`. */
  follow: boolean;
  json?: boolean;
}

const EXAMPLES = `
Events: start, ready, health, pause, resume, kill, stop, oom, die, restart, fork, snapshot, egress (a decision about what the VM wanted to
reach, at most 20 a second) and remove. The last 5 to 10 MiB of them are kept.

Examples:
  supermachine events
  supermachine events --since 1h --no-follow web
  supermachine events --json | jq 'select(.event == "die")'`;

/** `supermachine events`: what happens to VMs. */
export function eventsCommand(): Command {
  return new Command("events")
    .argument("[target]", "a VM's name or the beginning of one, a port or an image; without one, all")
    .option(
      "--since <time>",
      "those of the past too: a time such as 2026-11-21T10:00:00Z, or an age such as 10m",
      moment,
    )
    .option("--no-follow", "end with those that there are now")
    .option("--json", "print JSON, one event a line")
    .addHelpText("after", EXAMPLES)
    .action(async (target: string | undefined, { since, follow, json }: EventFlags) => {
      const signal = onInterrupt();
      const vm = target === undefined ? undefined : (await findVm(target, { all: true })).name;
      for await (const event of readEvents({ since, follow, vm, signal })) {
        if (!process.stdout.write(`${json ? JSON.stringify(event) : eventText(event)}\n`))
          await once(process.stdout, "drain");
      }
      if (signal.reason instanceof Interrupted && signal.reason.exitCode !== 130) throw signal.reason;
    });
}

function eventText({ time, vm, event, details }: VmEvent): string {
  const facts = Object.entries(details).map(
    ([name, value]) => `${name}=${/[\s"]/.test(String(value)) ? JSON.stringify(value) : value}`,
  );
  // Names that a guest asks for may hold anything.
  return [time, vm, event, ...facts].join(" ").replace(/\p{C}/gu, "?");
}
