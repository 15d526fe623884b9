import { Command } from "commander";
import { Image, type PullPolicy, type RegistryAuth } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { memoryMiB, platformOption, pullOption, registryAuthOption, wholeNumber } from "./options.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { addReadyOptions, type ReadyFlags } from "./ready-options.js";
import { addWritableOptions, type WritableFlags, writableOf } from "./writable-options.js";

interface PullFlags extends ProgressFlags, ReadyFlags, WritableFlags {
  memory?: number;
  vcpus?: number;
  name?: string;
  platform?: string;
  pull: PullPolicy;
  registryAuth?: RegistryAuth;
}

const EXAMPLES = `
Examples:
  supermachine pull ghcr.io/owner/app:1.2
  supermachine pull --name web --ready listener nginx`;

/** `supermachine pull`: everything that `run` does before it starts a microVM. */
export function pullCommand(): Command {
  const command = new Command("pull")
    .argument("<image>", "what to pull, as for `supermachine run`")
    .option("-m, --memory <size>", "memory of the microVMs, such as 512M or 2G (default 256M)", memoryMiB)
    .option("--vcpus <n>", "processors of the microVMs (default 1)", wholeNumber)
    .option("--name <name>", "name of the snapshot")
    .addOption(platformOption())
    .addOption(pullOption().default("always"))
    .addOption(registryAuthOption())
    .addOption(progressOption())
    .addOption(quietOption())
    .addHelpText("after", EXAMPLES);
  return addReadyOptions(addWritableOptions(command)).action(
    async (reference: string, { memory, writable, diskMib, progress, quiet, ...flags }: PullFlags) => {
      const disk = writableOf({ writable, diskMib });
      const options = { ...flags, ...disk, memoryMiB: memory, signal: onInterrupt() };
      const image = await withProgress({ progress, quiet }, (onProgress) =>
        Image.fromOci(reference, { ...options, onProgress }),
      );
      process.stdout.write(`${image.name}\n`);
    },
  );
}
