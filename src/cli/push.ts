import { Command } from "commander";
import { type PullPolicy, pushImage, type RegistryAuth } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { platformOption, pullOption, registryAuthOption, sourceAuthOption } from "./options.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { printJson } from "./table.js";

interface PushFlags extends ProgressFlags {
  all?: boolean;
  platform?: string;
  pull: PullPolicy;
  registryAuth?: RegistryAuth;
  sourceAuth?: RegistryAuth;
  json?: boolean;
}

const EXAMPLES = `
Every manifest and layer of an image keeps its digest. A snapshot goes with its template and layers, so that another machine
runs it at once. What the registry has already is not sent again.

Examples:
  supermachine push oci-archive:app.tar ghcr.io/owner/app:1.2
  supermachine push --all python:3.12-slim registry.example/mirror/python:3.12-slim
  supermachine push docker:app:dev localhost:5000/app:dev
  supermachine push python-0123456789ab registry.example/team/python-snapshot:3.12`;

/** `supermachine push`: copies an image or a snapshot to a registry. */
export function pushCommand(): Command {
  return new Command("push")
    .argument("<source>", "what to copy: the name of a snapshot, or an image as for `supermachine run`")
    .argument("<target>", "the image's name in the registry")
    .option("--all", "copy everything that an index names, for all platforms")
    .addOption(platformOption())
    .addOption(pullOption().default("always"))
    .addOption(registryAuthOption())
    .addOption(sourceAuthOption())
    .option("--json", "print JSON")
    .addOption(progressOption())
    .addOption(quietOption())
    .addHelpText("after", EXAMPLES)
    .action(async (source: string, target: string, { json, progress, quiet, ...flags }: PushFlags) => {
      const options = { ...flags, signal: onInterrupt() };
      const pushed = await withProgress({ progress, quiet }, (onProgress) =>
        pushImage(source, target, { ...options, onProgress }),
      );
      if (json) printJson(pushed);
      else process.stdout.write(`${pushed.reference}\n`);
    });
}
