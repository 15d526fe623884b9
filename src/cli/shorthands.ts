import { type Command, Option } from "commander";
import { exec } from "./exec.js";
import { stopVms } from "./stop.js";

/** Options of `run` that start nothing: they are about what runs already. */
export interface ShorthandFlags {
  connect?: boolean;
  stop?: boolean;
  env?: string[];
  workdir?: string;
  user?: string;
  interactive?: boolean;
  tty?: boolean;
  detachKeys: Buffer;
}

export function addShorthands(command: Command): Command {
  const others = ["detach", "rm", "publish", "mount", "volume"];
  const connect = "run the command, by default a shell, in the VM of IMAGE that runs in the background, as exec does";
  return command
    .addOption(new Option("--connect", connect).conflicts([...others, "stop"]))
    .addOption(new Option("--stop", "end the VM of IMAGE that runs in the background, as stop does").conflicts(others));
}

/** Does what such an option says, and gives the exit code; undefined when there is none. */
export async function shorthand(target: string, cmd: string[], flags: ShorthandFlags): Promise<number | undefined> {
  if (flags.stop) {
    await stopVms([target]);
    return 0;
  }
  if (!flags.connect) return undefined;
  if (cmd.length > 0) return exec(target, cmd, flags);
  return exec(target, ["sh"], { ...flags, interactive: true, tty: process.stdin.isTTY });
}
