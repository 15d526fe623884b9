import { Command, Option } from "commander";
import { type PullPolicy, type RegistryAuth, type SaveFormat, saveImage } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { platformOption, pullOption, registryAuthOption } from "./options.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { printJson } from "./table.js";

interface SaveFlags extends ProgressFlags {
  output: string;
  format?: SaveFormat;
  name?: string;
  all?: boolean;
  platform?: string;
  pull: PullPolicy;
  registryAuth?: RegistryAuth;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  supermachine save python:3.12-slim -o python.tar
  supermachine save --format docker-archive oci-layout:./app:1 -o app.tar && docker load -i app.tar
  supermachine save --all alpine:3.20 -o alpine-layout/
  supermachine save python-0123456789ab -o python-snapshot.tar     (a snapshot, as \`supermachine images\` shows it)`;

/** `supermachine save`: writes an image or a snapshot to a file or a folder. */
export function saveCommand(): Command {
  const formats = ["oci-archive", "oci-layout", "docker-archive"];
  return new Command("save")
    .argument("<source>", "what to save: the name of a snapshot, or an image as for `supermachine run`")
    .requiredOption("-o, --output <path>", "file, or folder with a slash at its end")
    .addOption(new Option("--format <format>", "form of the file (default: oci-archive)").choices(formats))
    .option("--name <name>", "what the image is called in the file (default: as its source calls it)")
    .option("--all", "save everything that an index names, for all platforms")
    .addOption(platformOption())
    .addOption(pullOption().default("always"))
    .addOption(registryAuthOption())
    .option("--json", "print JSON")
    .addOption(progressOption())
    .addOption(quietOption())
    .addHelpText("after", EXAMPLES)
    .action(async (source: string, { output, json, registryAuth, progress, quiet, ...flags }: SaveFlags) => {
      const options = { ...flags, sourceAuth: registryAuth, signal: onInterrupt() };
      const saved = await withProgress({ progress, quiet }, (onProgress) =>
        saveImage(source, output, { ...options, onProgress }),
      );
      if (json) printJson(saved);
      else process.stdout.write(`${saved.path}\n`);
    });
}
