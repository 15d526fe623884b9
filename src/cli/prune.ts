import { Command } from "commander";
import prettyBytes from "pretty-bytes";
import { prune, pruneBuildCache, type UnusedKind, UsageError } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { duration, storageBytes } from "./options.js";
import { printJson } from "./table.js";

interface PruneFlags {
  dryRun?: boolean;
  olderThan?: number;
  all?: boolean;
  buildCache?: boolean;
  keepStorage?: number;
  json?: boolean;
}

const NAMES: Record<UnusedKind, string> = {
  layer: "layer",
  template: "template",
  document: "document",
  tag: "tag",
  asset: "asset",
  leftover: "left over",
  step: "step",
  "cache mount": "mount",
  download: "download",
};
const EXAMPLES = `
Snapshots are never pruned: remove those that you no longer want with \`supermachine rmi\` first. Layers that no snapshot has go, those
that builds would find again too. --build-cache removes what builds keep, and nothing else: what was used longest ago goes first.

Examples:
  supermachine prune --dry-run
  supermachine prune --older-than 7d
  supermachine prune --build-cache --older-than 24h --keep-storage 20G`;

/** `supermachine prune`: removes what nothing refers to. */
export function pruneCommand(): Command {
  return new Command("prune")
    .option("-n, --dry-run", "say what would be removed, and remove nothing")
    .option("--older-than <time>", "only what is older, such as 30m, 24h or 7d", duration)
    .option("-a, --all", "the templates too that the next bake would use")
    .option("--build-cache", "only what builds keep: results of steps, caches of mounts, downloads")
    .option("--keep-storage <size>", "with --build-cache: as much may stay, such as 20G", storageBytes)
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async ({ olderThan: olderThanMs, keepStorage, buildCache, json, ...flags }: PruneFlags) => {
      if (keepStorage !== undefined && !buildCache) throw new UsageError("--keep-storage is for --build-cache");
      if (flags.all && buildCache) throw new UsageError("--all is not for --build-cache");
      const options = { ...flags, olderThanMs, signal: onInterrupt() };
      const result = await (buildCache
        ? pruneBuildCache({ ...options, keepStorageBytes: keepStorage })
        : prune(options));
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
