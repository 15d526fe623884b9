import { Command } from "commander";
import { removeImage } from "../index.js";

/** `supermachine rmi`: removes snapshots. */
export function rmiCommand(): Command {
  return new Command("rmi")
    .description("remove snapshots by name")
    .argument("<name...>", "names as `supermachine images` shows them")
    .addHelpText("after", "\nExample:\n  supermachine rmi python-0123456789ab")
    .action(async (names: string[]) => {
      for (const name of names) {
        await removeImage(name);
        process.stdout.write(`${name}\n`);
      }
    });
}
