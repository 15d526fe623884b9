import { pipeline } from "node:stream/promises";
import { Command } from "commander";
import { ExecFailure, Image, type PullPolicy, parseEnv, type RegistryAuth, type VmProcess } from "../index.js";
import { Interrupted, onInterrupt } from "./interrupt.js";
import { collect, memoryMiB, platformOption, pullOption, registryAuthOption, wholeNumber } from "./options.js";
import { progressReporter } from "./progress.js";

interface RunFlags {
  env?: string[];
  workdir?: string;
  user?: string;
  memory?: number;
  vcpus?: number;
  name?: string;
  entrypoint?: string;
  interactive?: boolean;
  platform?: string;
  pull?: PullPolicy;
  registryAuth?: RegistryAuth;
}

const EXAMPLES = `
IMAGE is a registry's image name, oci-layout:DIR[:TAG], oci-archive:FILE[:TAG], docker:NAME, podman:NAME, or the name of a
snapshot (see \`supermachine images\`).

Examples:
  supermachine run python:3.12-slim -- python3 -V
  supermachine run oci-archive:python.tar -- python3 -c 'print(6*7)'
  supermachine run --memory 512M --env DEBUG=1 oci-layout:./app
  echo hello | supermachine run -i oci-archive:busybox.tar -- cat`;

/** `supermachine run`: one command in a fresh microVM, attached. */
export function runCommand(): Command {
  return new Command("run")
    .description("run a command, or the image's own, in a new microVM and exit with its code")
    .argument("<image>", "what to run")
    .argument("[cmd...]", "command with its arguments; put -- before it")
    .option("-e, --env <NAME=value>", "set a variable; a name alone takes its value from here", collect)
    .option("-w, --workdir <dir>", "working directory")
    .option("-u, --user <user>", "name, uid, name:group or uid:gid, looked up in the image")
    .option("-m, --memory <size>", "memory of the microVM, such as 512M or 2G (default 256M)", memoryMiB)
    .option("--vcpus <n>", "processors of the microVM (default 1)", wholeNumber)
    .addOption(platformOption())
    .addOption(pullOption())
    .addOption(registryAuthOption())
    .option("--name <name>", "name of the snapshot that is made")
    .option("--entrypoint <cmd>", "replace the image's entrypoint; empty for none")
    .option("-i, --interactive", "connect standard input")
    .passThroughOptions()
    .addHelpText("after", EXAMPLES)
    .action(async (image: string, cmd: string[], flags: RunFlags) => {
      // commander leaves the separator in once it passes options through.
      process.exitCode = await run(image, cmd[0] === "--" ? cmd.slice(1) : cmd, flags);
    });
}

async function run(reference: string, cmd: string[], flags: RunFlags): Promise<number> {
  const signal = onInterrupt();
  const { memory, vcpus, name, platform, pull, registryAuth } = flags;
  // What only changes how processes are run is not baked in: the same snapshot serves every such command.
  const image = await Image.open(reference, {
    signal,
    onProgress: progressReporter(),
    memoryMiB: memory,
    vcpus,
    name,
    platform,
    pull,
    registryAuth,
  });
  await using vm = await image.start({ signal });
  const { interactive, env, workdir, user } = flags;
  const options = {
    stdin: interactive ? ("pipe" as const) : ("ignore" as const),
    signal,
    env: parseEnv(env ?? [], process.env),
    ...(workdir !== undefined && { cwd: workdir }),
    ...(user !== undefined && { user }),
    ...(cmd.length > 0 && { cmd }),
    ...(flags.entrypoint !== undefined && { entrypoint: flags.entrypoint === "" ? [] : [flags.entrypoint] }),
  };
  try {
    return await attach(await vm.start(options));
  } catch (error) {
    if (signal.reason instanceof Interrupted) throw signal.reason;
    if (!(error instanceof ExecFailure)) throw error;
    process.stderr.write(`supermachine: ${error.message}\n`);
    return error.exitCode;
  }
}

/** Connects a process to our own streams until it has ended, and gives its exit code. */
async function attach(child: VmProcess): Promise<number> {
  // The command may end without having read everything.
  const input = pipeline(process.stdin, child.stdin).catch(() => undefined);
  const outputs = [
    pipeline(child.stdout, process.stdout, { end: false }),
    pipeline(child.stderr, process.stderr, { end: false }),
  ].map((output) =>
    output.catch((error: NodeJS.ErrnoException) => {
      // Our reader went away, as in `| head`: the command has nobody to write for. Of anything else wait() knows more.
      if (error.code === "EPIPE") child.kill("SIGPIPE");
    }),
  );
  const { exitCode } = await child.wait();
  await Promise.all(outputs);
  process.stdin.destroy();
  await input;
  return exitCode;
}
