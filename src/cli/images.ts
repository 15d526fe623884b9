import { Command } from "commander";
import prettyBytes from "pretty-bytes";
import { listImages } from "../index.js";
import { printJson, printTable } from "./table.js";

/** `supermachine images`: what has been baked. */
export function imagesCommand(): Command {
  return new Command("images")
    .description("list the snapshots that microVMs are started from")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  supermachine images\n  supermachine images --json | jq -r '.[].name'")
    .action(async ({ json }: { json?: boolean }) => {
      const images = await listImages();
      if (json) return printJson(images);
      const rows = images.map(({ name, reference, createdAt, memoryMiB, vcpus, bytes }) => [
        name,
        createdAt.slice(0, 19).replace("T", " "),
        `${memoryMiB} MiB`,
        String(vcpus),
        prettyBytes(bytes, { binary: true }),
        reference,
      ]);
      printTable(["NAME", "CREATED (UTC)", "MEMORY", "VCPUS", "SIZE", "REFERENCE"], rows);
    });
}
