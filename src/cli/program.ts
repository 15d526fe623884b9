import { Command } from "commander";
import { version } from "../version.js";
import { COMMANDS, type CommandEntry } from "./commands.js";

const EXAMPLES = `
Examples:
  supermachine run python:3.12-slim -- python3 -c 'print(6*7)'
  supermachine run -d --name web -p 8080:80 nginx
  supermachine exec -it web -- sh
  supermachine help run`;

/**
 * The whole command line; a wrong use of it throws commander's CommanderError.
 * @param args what will be parsed: only the command that it names is loaded, the others are known by name and description.
 *   Without it all are loaded.
 */
export async function program(args?: readonly string[]): Promise<Command> {
  const supermachine = new Command("supermachine")
    .description("Runs any OCI/Docker image as a microVM that is restored from a snapshot, not booted.")
    .version(version, "--version")
    .enablePositionalOptions()
    .exitOverride()
    // What follows a command's name is in its own help; some would need to be loaded for that here.
    .configureHelp({ showGlobalOptions: false, subcommandTerm: (command) => command.name() })
    .addHelpText("after", EXAMPLES);
  const wanted = args && commandIn(args);
  const commands = COMMANDS.map((entry) => (args && entry.name !== wanted ? outline(entry) : load(entry)));
  for (const command of await Promise.all(commands)) supermachine.addCommand(command.exitOverride());
  return supermachine;
}

async function load({ description, load }: CommandEntry): Promise<Command> {
  const command = await load();
  return command.description(description);
}

function outline({ name, description }: CommandEntry): Command {
  return new Command(name).description(description);
}

/** The command that is run, or whose help is asked for. */
function commandIn(args: readonly string[]): string | undefined {
  const [first, second] = args.filter((arg) => !arg.startsWith("-"));
  return first === "help" ? second : first;
}
