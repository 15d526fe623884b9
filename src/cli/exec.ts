import { Command } from "commander";
import { findVm, parseEnv, RemoteExecFailure, UsageError } from "../index.js";
import { attach, terminalSize } from "./attach.js";
import { Interrupted, onInterrupt } from "./interrupt.js";
import { collect } from "./options.js";
import { detachKeysOption } from "./terminal/detach-keys-option.js";

interface ExecFlags {
  interactive?: boolean;
  tty?: boolean;
  env?: string[];
  workdir?: string;
  user?: string;
  detachKeys: Buffer;
}

const EXAMPLES = `
TARGET is a VM's name, a port of it on this machine, its image, or the beginning of one of these names; without one it is the only VM
that runs.

Examples:
  supermachine exec web -- nginx -s reload
  supermachine exec -it web -- sh
  echo 'select 1' | supermachine exec -i -- psql`;

/** `supermachine exec`: one more command in a VM that runs. */
export function execCommand(): Command {
  return new Command("exec")
    .usage("[options] [target] -- <cmd...>")
    .argument("[args...]", "the VM, then -- and the command with its arguments")
    .option("-e, --env <NAME=value>", "set a variable; a name alone takes its value from here", collect)
    .option("-w, --workdir <dir>", "working directory")
    .option("-u, --user <user>", "name, uid, name:group or uid:gid, looked up in the image")
    .option("-i, --interactive", "connect standard input")
    .option("-t, --tty", "run it on a terminal")
    .addOption(detachKeysOption())
    .passThroughOptions()
    .addHelpText("after", EXAMPLES)
    .action(async (args: string[], flags: ExecFlags) => {
      const { target, cmd } = splitAtSeparator(args);
      process.exitCode = await exec(target, cmd, flags);
    });
}

/** As docker, `exec TARGET CMD` works as well; only `exec -- CMD` can leave the target out. */
function splitAtSeparator(args: string[]): { target: string | undefined; cmd: string[] } {
  // commander drops a separator that comes first; what it passes through is the end of our own arguments, word for word.
  if (process.argv.at(-args.length - 1) === "--") return { target: undefined, cmd: args };
  return { target: args[0], cmd: args[1] === "--" ? args.slice(2) : args.slice(1) };
}

/** Runs a command in a VM in the background, connected to our streams, and gives its exit code. */
export async function exec(target: string | undefined, cmd: string[], flags: ExecFlags): Promise<number> {
  const { interactive = false, tty = false, detachKeys, env, workdir, user } = flags;
  if (cmd.length === 0)
    throw new UsageError("there is no command to run", { hint: "`supermachine exec TARGET -- CMD`" });
  if (interactive && tty && !process.stdin.isTTY) {
    throw new UsageError("the input device is not a TTY", { hint: "Leave -t out, or -i, or run this in a terminal." });
  }
  const signal = onInterrupt();
  const vm = await findVm(target);
  try {
    const child = await vm.exec(cmd, {
      signal,
      stdin: interactive ? "pipe" : "ignore",
      env: parseEnv(env ?? [], process.env),
      ...(tty && { tty, ...terminalSize() }),
      ...(workdir !== undefined && { cwd: workdir }),
      ...(user !== undefined && { user }),
    });
    const outcome = await attach(child, { interactive, tty, detachKeys });
    return outcome === "detached" ? 0 : outcome;
  } catch (error) {
    if (signal.reason instanceof Interrupted) throw signal.reason;
    if (!(error instanceof RemoteExecFailure)) throw error;
    process.stderr.write(`supermachine: ${error.message}\n`);
    return error.exitCode;
  }
}
