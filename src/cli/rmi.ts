import { Command } from "commander";
import { removeImages } from "../index.js";

const MORE = `
IMAGE is a name, the beginning of a digest, or a reference. MicroVMs that run from a removed snapshot are not
disturbed. Layers stay, for other images and the next pull, until \`supermachine prune\`.

Examples:
  supermachine rmi python-0123456789ab
  supermachine rmi python:3.12-slim ghcr.io/owner/app
  supermachine rmi sha256:0123456789ab`;

/** `supermachine rmi`: removes snapshots. */
export function rmiCommand(): Command {
  return new Command("rmi")
    .argument("<image...>", "what `supermachine images` shows")
    .option("-f, --force", "remove all snapshots that a reference or digest stands for")
    .addHelpText("after", MORE)
    .action(async (names: string[], { force }: { force?: boolean }) => {
      for (const { name } of await removeImages(names, { force })) process.stdout.write(`${name}\n`);
    });
}
