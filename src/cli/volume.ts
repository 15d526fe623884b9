import { Command } from "commander";
import prettyBytes from "pretty-bytes";
import { createVolume, inspectVolume, listVolumes, removeVolume } from "../index.js";
import { memoryMiB } from "./options.js";
import { printJson, printTable } from "./table.js";

const EXAMPLES = `
Examples:
  supermachine volume create data --size 4G
  supermachine run --volume data:/var/lib/data oci-archive:app.tar
  supermachine volume ls --json | jq -r '.[].name'
  supermachine volume rm data`;

/** `supermachine volume`: disks that outlive microVMs. */
export function volumeCommand(): Command {
  const command = new Command("volume").addHelpText("after", EXAMPLES);
  for (const each of [list(), create(), inspect(), remove()]) command.addCommand(each.exitOverride());
  return command;
}

function list(): Command {
  return new Command("ls")
    .addHelpText("after", "\nExample:\n  supermachine volume ls")
    .description("list the volumes")
    .option("--json", "print JSON")
    .action(async ({ json }: { json?: boolean }) => {
      const volumes = await listVolumes();
      if (json) return printJson(volumes);
      const rows = volumes.map(({ name, sizeMiB, diskBytes, state, createdAt }) => [
        name,
        state,
        createdAt.slice(0, 19).replace("T", " "),
        prettyBytes(sizeMiB * 2 ** 20, { binary: true }),
        prettyBytes(diskBytes, { binary: true, maximumFractionDigits: 1 }),
      ]);
      printTable(["NAME", "STATE", "CREATED (UTC)", "SIZE", "ON DISK"], rows, { rightFrom: 3 });
    });
}

function create(): Command {
  return new Command("create")
    .addHelpText("after", "\nExample:\n  supermachine volume create data --size 4G")
    .description("make an empty volume, and print its name")
    .argument("<name>", "what `--volume` calls it")
    .option("--size <size>", "such as 512M or 4G (default 1G)", memoryMiB)
    .action(async (name: string, { size }: { size?: number }) => {
      const volume = await createVolume(name, size === undefined ? {} : { sizeMiB: size });
      process.stdout.write(`${volume.name}\n`);
    });
}

function inspect(): Command {
  return new Command("inspect")
    .addHelpText("after", "\nExample:\n  supermachine volume inspect data | jq '.[0].sizeMiB'")
    .description("show what is known of volumes, as JSON")
    .argument("<name...>", "what `volume ls` shows")
    .option("--json", "as it is anyway")
    .action(async (names: string[]) => printJson(await Promise.all(names.map((name) => inspectVolume(name)))));
}

function remove(): Command {
  return new Command("rm")
    .addHelpText("after", "\nExample:\n  supermachine volume rm data")
    .description("remove volumes and what is in them, for good; prints their names")
    .argument("<name...>", "what `volume ls` shows")
    .action(async (names: string[]) => {
      for (const name of names) {
        await removeVolume(name);
        process.stdout.write(`${name}\n`);
      }
    });
}
