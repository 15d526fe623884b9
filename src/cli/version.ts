import { Command } from "commander";
import { version } from "../version.js";
import { printJson } from "./table.js";

/** `supermachine version`. */
export function versionCommand(): Command {
  return new Command("version")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  supermachine version\n  supermachine version --json | jq -r .supermachine")
    .action(({ json }: { json?: boolean }) => {
      const versions = {
        supermachine: version,
        node: process.version,
        platform: `${process.platform}-${process.arch}`,
      };
      if (json) return printJson(versions);
      process.stdout.write(
        Object.entries(versions)
          .map(([name, value]) => `${name} ${value}\n`)
          .join(""),
      );
    });
}
