import { Command } from "commander";
import { home } from "../index.js";

const MORE = `
\`supermachine setup\` fills it. To ship a guest with an application, use \`supermachine bundle\`: a bundle has a copy of what it needs.

Example:
  ls "$(supermachine assets-path)"`;

/** `supermachine assets-path`. */
export function assetsPathCommand(): Command {
  return new Command("assets-path").addHelpText("after", MORE).action(() => {
    process.stdout.write(`${home().assets}\n`);
  });
}
