import { Command } from "commander";
import prettyBytes from "pretty-bytes";
import { diskUsage, type ImageUsage, type StoreUsage } from "../index.js";
import { printJson, printTable } from "./table.js";

const MORE = `
OWN is what a snapshot takes on disk, LAYERS what its layers take, SHARED how much of them other snapshots have too.

Examples:
  supermachine images
  supermachine images --json | jq -r '.images[].name'`;
const SHOWN_DIGITS = 12;
const UNITS = [
  ["y", 31_536_000],
  ["w", 604_800],
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
] as const;

/** `supermachine images`: what has been baked, and what it takes on disk. */
export function imagesCommand(): Command {
  return new Command("images")
    .option("--json", "print JSON")
    .addHelpText("after", MORE)
    .action(async ({ json }: { json?: boolean }) => {
      const usage = await diskUsage();
      if (json) return printJson(usage);
      const header = ["NAME", "REFERENCE", "DIGEST", "AGE", "OWN", "LAYERS", "SHARED"];
      printTable(header, usage.images.map(row), { flexible: 1, rightFrom: 4 });
      process.stderr.write(`\n${totals(usage)}\n`);
    });
}

function row({ name, reference, digest, createdAt, disk }: ImageUsage): string[] {
  const sizes = [disk.own, disk.layers, disk.sharedLayers].map(size);
  return [name, reference, digest.replace(/^sha256:/, "").slice(0, SHOWN_DIGITS), age(createdAt), ...sizes];
}

function totals({ images, store }: StoreUsage): string {
  const parts = (["snapshots", "layers", "templates", "documents", "assets", "builds"] as const).map(
    (part) => `${part} ${size(store[part])}`,
  );
  const count = `${images.length} snapshot${images.length === 1 ? "" : "s"}`;
  return `${count}; ${size(store.total)} on disk in ${store.root}:\n${parts.join(", ")}`;
}

/** `5m`, `3h`, `12d`: how long ago. */
function age(createdAt: string): string {
  const seconds = Math.max(0, (Date.now() - Date.parse(createdAt)) / 1000);
  for (const [unit, length] of UNITS) if (seconds >= length) return `${Math.floor(seconds / length)}${unit}`;
  return `${Math.floor(seconds)}s`;
}

function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true, maximumFractionDigits: 1 });
}
