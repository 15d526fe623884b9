import { Command } from "commander";
import { tagImage } from "../index.js";

const MORE = `
The snapshot is not copied: both names share its files, and each is removed by itself with \`supermachine rmi\`. A name that another
image has had goes over to this one.

Examples:
  supermachine tag app:1.0 app:latest
  supermachine tag app:1.0 registry.example/team/app:1.0 && supermachine push registry.example/team/app:1.0`;

/** `supermachine tag`: gives an image further names. */
export function tagCommand(): Command {
  return new Command("tag")
    .argument("<image>", "name of a snapshot")
    .argument("<name...>", "further names for it")
    .addHelpText("after", MORE)
    .action(async (image: string, names: string[]) => {
      for (const name of names) process.stdout.write(`${await tagImage(image, name)}\n`);
    });
}
