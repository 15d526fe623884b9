import { Command } from "commander";
import prettyBytes from "pretty-bytes";
import { bundleImage, type PullPolicy, type RegistryAuth } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { memoryMiB, platformOption, pullOption, registryAuthOption, wholeNumber } from "./options.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { printJson } from "./table.js";

interface BundleFlags extends ProgressFlags {
  into: string;
  image?: string;
  memory?: number;
  vcpus?: number;
  link?: boolean;
  platform?: string;
  pull?: PullPolicy;
  registryAuth?: RegistryAuth;
  json?: boolean;
}

const MORE = `
The folder can be moved, copied to another machine or shipped within an application, and be read-only. It runs by its path
(which begins with /, ./ or ../), or with Image.fromSnapshot(DIR) of the library; it needs the QEMU that it was made with.

Examples:
  supermachine bundle --image python:3.12-slim --into ./python.bundle
  supermachine run ./python.bundle -- python3 -V
  supermachine doctor --bundle ./python.bundle`;

/** `supermachine bundle`: a snapshot with everything that it needs, in a folder. */
export function bundleCommand(): Command {
  return new Command("bundle")
    .requiredOption("--into <dir>", "the folder to make")
    .option("--image <image>", "a snapshot, or an image as for `supermachine run` (default: the only snapshot)")
    .option("-m, --memory <size>", "memory of its microVMs, such as 512M or 2G (default 256M)", memoryMiB)
    .option("--vcpus <n>", "processors of its microVMs (default 1)", wholeNumber)
    .option("--link", "hard-link layers and kernel to the store instead of copying them")
    .addOption(platformOption())
    .addOption(pullOption())
    .addOption(registryAuthOption())
    .option("--json", "print JSON")
    .addOption(progressOption())
    .addOption(quietOption())
    .addHelpText("after", MORE)
    .action(async ({ into, image, memory, json, progress, quiet, ...flags }: BundleFlags) => {
      const options = { ...flags, memoryMiB: memory, signal: onInterrupt() };
      const bundle = await withProgress({ progress, quiet }, (onProgress) =>
        bundleImage(image, into, { ...options, onProgress }),
      );
      if (json) return printJson(bundle);
      process.stdout.write(`${bundle.path}\n`);
      const size = prettyBytes(bundle.bytes, { binary: true, maximumFractionDigits: 1 });
      process.stderr.write(
        `${size}; it runs with QEMU ${bundle.qemu} on ${bundle.architecture}, ${bundle.accelerator}\n`,
      );
    });
}
