import { CommanderError } from "commander";
import { printCompletion } from "./completion/print.js";
import { COMPLETE } from "./completion/scripts.js";
import { reportError } from "./errors.js";
import { checkLogLevel } from "./log-level.js";
import { program } from "./program.js";

void main();

/** A function, since what is started with a code cache is CommonJS: see docs/start-up.md. */
async function main(): Promise<void> {
  try {
    checkLogLevel();
    const args = process.argv.slice(2);
    // What a shell asks to complete a line; people have no use for it.
    if (args[0] === COMPLETE) await printCompletion(args.slice(args[1] === "--" ? 2 : 1));
    else await (await program(args)).parseAsync(args, { from: "user" });
  } catch (error) {
    process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportError(error);
  }
}
