import { Command } from "commander";
import prettyBytes from "pretty-bytes";
import { prune, type UnusedKind } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { duration } from "./options.js";
import { printJson } from "./table.js";

interface PruneFlags {
  dryRun?: boolean;
  olderThan?: number;
  all?: boolean;
  json?: boolean;
}

const NAMES: Record<UnusedKind, string> = {
  layer: "layer",
  template: "template",
  document: "document",
  tag: "tag",
  asset: "asset",
  leftover: "left over",
};
const EXAMPLES = `
Snapshots are never pruned: remove those that you no longer want with \`supermachine rmi\` first.

Examples:
  supermachine prune --dry-run
  supermachine prune --older-than 7d`;

/** `supermachine prune`: removes what nothing refers to. */
export function pruneCommand(): Command {
  return new Command("prune")
    .option("-n, --dry-run", "say what would be removed, and remove nothing")
    .option("--older-than <time>", "only what is older, such as 30m, 24h or 7d", duration)
    .option("-a, --all", "the templates too that the next bake would use")
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async ({ olderThan, json, ...flags }: PruneFlags) => {
      const result = await prune({ ...flags, olderThanMs: olderThan, signal: onInterrupt() });
      if (json) return printJson(result);
      for (const { kind, item, bytes } of result.removed) {
        process.stdout.write(`${NAMES[kind].padEnd(9)}  ${size(bytes).padStart(8)}  ${item}\n`);
      }
      const freed = `${size(result.freedBytes)} ${result.dryRun ? "would be freed" : "freed"}`;
      process.stderr.write(result.removed.length > 0 ? `${freed}\n` : "There is nothing to remove.\n");
    });
}

function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true, maximumFractionDigits: 1 });
}
