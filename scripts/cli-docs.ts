// Writes docs/cli.md from the commands themselves: npm run docs. With --check it only says whether the page is up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { program } from "../src/cli/program.js";

const WIDTH = 110;
const INTRODUCTION = `# The command line

Written by \`npm run docs\` from the commands' own help.

Exit codes: 0; for \`run\` and \`exec\` the command's own (127: not found, 126: not executable, 128+n: killed by signal n); 1 for a failure;
2 for wrong usage; 130 and 143 when interrupted. Data goes to stdout, progress and messages to stderr; every listing has \`--json\`.
`;

const page = join(import.meta.dirname, "../docs/cli.md");
const text = [INTRODUCTION, ...sections(await program())].join("\n");
if (!process.argv.includes("--check")) writeFileSync(page, text);
else if (readFileSync(page, "utf8") !== text) {
  process.stderr.write("docs/cli.md is not what the commands say; `npm run docs` writes it anew\n");
  process.exitCode = 1;
}

function sections(command: Command, parents = ""): string[] {
  const name = `${parents}${command.name()}`;
  const own = `## ${name}\n\n\`\`\`\n${helpOf(command)}\n\`\`\`\n`;
  return [own, ...command.commands.flatMap((each) => sections(each, `${name} `))];
}

/** With what is added after it, the examples. */
function helpOf(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (part) => (help += part), getOutHelpWidth: () => WIDTH });
  command.outputHelp();
  return help.trim();
}
