import { Argument, Command } from "commander";
import { SCRIPTS } from "./completion/scripts.js";

const MORE = `
It completes commands, options, and the names of VMs, snapshots and volumes.

Examples:
  source <(supermachine completion bash)         (in ~/.bashrc)
  source <(supermachine completion zsh)          (in ~/.zshrc, after compinit)
  supermachine completion fish > ~/.config/fish/completions/supermachine.fish`;

/** `supermachine completion`: what makes a shell complete our commands. */
export function completionCommand(): Command {
  return new Command("completion")
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(SCRIPTS)))
    .addHelpText("after", MORE)
    .action((shell: keyof typeof SCRIPTS) => {
      process.stdout.write(SCRIPTS[shell]);
    });
}
