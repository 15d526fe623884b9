import { Command } from "commander";
import {
  dismissSupervisor,
  type EgressPolicy,
  ExecFailure,
  Image,
  type MountOptions,
  type PublishOptions,
  type PullPolicy,
  parseEnv,
  prepareSupervisor,
  type Ready,
  type RegistryAuth,
  UsageError,
  type Vm,
  type VolumeOptions,
} from "../index.js";
import { attach, terminalSize } from "./attach.js";
import { addDetachOptions, checkDetachFlags, type DetachFlags } from "./detach-options.js";
import { addEdgeOptions, type EdgeFlags, servedOf } from "./edge-options.js";
import { Interrupted, onInterrupt } from "./interrupt.js";
import {
  collect,
  egressOf,
  egressOptions,
  memoryMiB,
  mountOption,
  platformOption,
  publishOption,
  pullOption,
  registryAuthOption,
  volumeOption,
  wholeNumber,
} from "./options.js";
import { type ProgressFlags, progressOption, quietOption, withProgress } from "./progress/index.js";
import { addReadyOptions, checkReady, type ReadyFlags, readyOf } from "./ready-options.js";
import { runDetached } from "./run-detached.js";
import { detachedEdge, runServed, serverBake } from "./run-served.js";
import { addSettingOptions, type SettingFlags } from "./setting-options.js";
import { addShorthands, type ShorthandFlags, shorthand } from "./shorthands.js";
import { tellPorts } from "./tell-ports.js";
import { detachKeysOption } from "./terminal/detach-keys-option.js";
import { addWritableOptions, type WritableFlags, writableOf } from "./writable-options.js";

interface RunFlags
  extends ProgressFlags,
    DetachFlags,
    SettingFlags,
    ReadyFlags,
    ShorthandFlags,
    EdgeFlags,
    WritableFlags {
  env?: string[];
  workdir?: string;
  user?: string;
  memory?: number;
  vcpus?: number;
  name?: string;
  entrypoint?: string;
  interactive?: boolean;
  platform?: string;
  tty?: boolean;
  detachKeys: Buffer;
  pull?: PullPolicy;
  /** commander's name for `--no-bake`. */
  bake: boolean;
  registryAuth?: RegistryAuth;
  mount?: MountOptions[];
  publish?: PublishOptions[];
  egress?: boolean;
  enableEgress?: boolean;
  egressPolicy?: EgressPolicy;
  volume?: (VolumeOptions | MountOptions)[];
}

interface StorageFlags {
  mounts: MountOptions[];
  volumes: VolumeOptions[];
}

const EXAMPLES = `
IMAGE is a registry's image name, oci-layout:DIR[:TAG], oci-archive:FILE[:TAG], docker:NAME, podman:NAME, the name of a
snapshot (see \`supermachine images\`), or the path of a bundle or a snapshot's folder, which begins with /, ./ or ../.

Examples:
  supermachine run python:3.12-slim -- python3 -V
  supermachine run oci-archive:python.tar -- python3 -c 'print(6*7)'
  supermachine run --mount .:/src --workdir /src node:22-slim -- npm test
  supermachine run --volume data:/var/lib/postgresql/data postgres:17
  supermachine run --memory 512M --env DEBUG=1 oci-layout:./app
  supermachine run -it debian:12 -- bash
  supermachine run -p 8080:80 nginx
  supermachine run -p 80 --http-port 8080 --workers-per-snapshot 2 --idle-timeout 5m nginx
  supermachine run --egress-policy allowlist:pypi.org,files.pythonhosted.org python:3.12-slim -- pip install requests
  supermachine run -d --name web --restart on-failure nginx
  supermachine run -d -p 8080:80 --probe-path / --health-cmd 'curl -f localhost' --ready-timeout-ms 20000 nginx
  supermachine run --connect nginx -- nginx -s reload
  supermachine run --stop nginx
  echo hello | supermachine run -i oci-archive:busybox.tar -- cat`;

/** `supermachine run`: one command in a fresh microVM, attached. */
export function runCommand(): Command {
  const command = new Command("run")
    .argument("<image>", "what to run")
    .argument("[cmd...]", "command with its arguments; put -- before it")
    .option("-e, --env <NAME=value>", "set a variable; a name alone takes its value from here", collect)
    .option("-w, --workdir <dir>", "working directory")
    .option("-u, --user <user>", "name, uid, name:group or uid:gid, looked up in the image")
    .option("-m, --memory <size>", "memory of the microVM, such as 512M or 2G (default 256M)", memoryMiB)
    .option("--vcpus <n>", "processors of the microVM (default 1)", wholeNumber)
    .addOption(platformOption())
    .addOption(pullOption())
    .option("--no-bake", "only run what is baked already with these settings")
    .addOption(registryAuthOption())
    .option("--name <name>", "name of the snapshot that is made; with --detach, of the VM")
    .option("--entrypoint <cmd>", "replace the image's entrypoint; empty for none")
    .addOption(mountOption())
    .addOption(publishOption())
    .addOption(volumeOption())
    .option("-i, --interactive", "connect standard input")
    .option("-t, --tty", "run it on a terminal")
    .addOption(detachKeysOption())
    .addOption(progressOption())
    .addOption(quietOption())
    .passThroughOptions()
    .addHelpText("after", EXAMPLES);
  for (const option of egressOptions()) command.addOption(option);
  addShorthands(addReadyOptions(addWritableOptions(addSettingOptions(addEdgeOptions(addDetachOptions(command))))));
  return command.action(async (image: string, args: string[], flags: RunFlags) => {
    // commander leaves the separator in once it passes options through.
    const cmd = args[0] === "--" ? args.slice(1) : args;
    process.exitCode = (await shorthand(image, cmd, flags)) ?? (await run(image, cmd, flags));
  });
}

async function run(reference: string, cmd: string[], flags: RunFlags): Promise<number> {
  const {
    memory,
    vcpus,
    name,
    platform,
    pull,
    registryAuth,
    interactive = false,
    tty = false,
    detachKeys,
    detach,
  } = flags;
  const served = servedOf(flags);
  checkDetachFlags(flags, served !== undefined);
  const network = { egress: egressOf(flags), publish: flags.publish };
  requireTerminal(interactive && tty);
  const signal = onInterrupt();
  // What only changes how processes are run is not baked in: the same snapshot serves every such command.
  const bake = {
    signal,
    memoryMiB: memory,
    vcpus,
    name: detach ? undefined : name,
    platform,
    pull,
    registryAuth,
    bake: flags.bake ? ("missing" as const) : ("never" as const),
    ...readyOf(flags, served !== undefined),
    ...settingsOf(flags),
    ...writableOf(flags),
  };
  const workload = { signal, ...workloadOf(cmd, flags) };
  const storage = storageOf(flags);
  using supervisor = detach ? prepareSupervisor() : dismissSupervisor();
  const server = served && serverBake(served, workload, storage.mounts.length + storage.volumes.length > 0);
  const image = await withProgress(flags, (onProgress) => Image.open(reference, { ...bake, ...server, onProgress }));
  checkReady(image, flags);
  const own = image.name === reference ? workload : notBakedIn(server, workload);
  if (detach) {
    const edge = served && detachedEdge(served, flags);
    const background = { ...own, name, ...storage, ...network, ...(edge && { edge, publish: [] }), supervisor };
    await runDetached(image, flags, background);
    return 0;
  }
  if (served) return runServed(image, served, flags, { ...own, name, ...storage, egress: network.egress }, signal);
  await using vm = await image.start({ signal, workload: false, ...storage, ...network });
  tellPorts(vm.exposed);
  const stdin = interactive ? ("pipe" as const) : ("ignore" as const);
  const options = { ...workload, stdin, ...(tty && { tty, ...terminalSize() }) };
  try {
    const child = await startOrGoOn(image, vm, options);
    const outcome = await attach(child, { interactive, tty, detachKeys });
    signal.throwIfAborted();
    if (outcome !== "detached") return outcome;
    process.stderr.write("\nsupermachine: detached; the microVM belongs to this command and ends with it\n");
    return 0;
  } catch (error) {
    if (signal.reason instanceof Interrupted) throw signal.reason;
    if (!(error instanceof ExecFailure)) throw error;
    process.stderr.write(`supermachine: ${error.message}\n`);
    return error.exitCode;
  }
}

/** The command of a snapshot of a running VM goes on, unless another one is named. */
async function startOrGoOn(image: Image, vm: Vm, options: Parameters<Vm["start"]>[0] & { signal: AbortSignal }) {
  const { workloadPid } = image;
  if (workloadPid === undefined || options.cmd || options.entrypoint) return vm.start(options);
  const child = await vm.attach(workloadPid);
  options.signal.addEventListener("abort", () => child.kill("SIGKILL"), { once: true });
  return child;
}

/** What was baked in comes with the snapshot. */
function notBakedIn<T extends { signal: AbortSignal }>(server: { ready: Ready } | undefined, workload: T) {
  return server && server.ready !== "start" ? { env: {}, signal: workload.signal } : workload;
}

function requireTerminal(wanted: boolean): void {
  if (!wanted || process.stdin.isTTY) return;
  throw new UsageError("the input device is not a TTY", { hint: "Leave -t out, or -i, or run this in a terminal." });
}

/** What is run, and how. */
function workloadOf(cmd: string[], { env = [], envFile = [], workdir, user, entrypoint }: RunFlags) {
  return {
    // As with docker, what the command line says counts more than what a file does.
    env: parseEnv([...envFile, ...env], process.env),
    ...(workdir !== undefined && { cwd: workdir }),
    ...(user !== undefined && { user }),
    ...(cmd.length > 0 && { cmd }),
    ...(entrypoint !== undefined && { entrypoint: entrypoint === "" ? [] : [entrypoint] }),
  };
}

/** These are of the snapshot: another one is baked for other settings. */
function settingsOf({ ulimit, sysctl, shmSize, hostname }: SettingFlags) {
  return { ulimits: ulimit, sysctls: sysctl, shmSize, hostname };
}

/** What the host's user owns belongs to whoever runs the command. */
function storageOf({ mount = [], volume = [], user }: RunFlags): StorageFlags {
  const folders = [...mount, ...volume.filter((each) => "host" in each)];
  const mounts = user === undefined ? folders : folders.map((each) => ({ ...each, owner: user }));
  return { mounts, volumes: volume.filter((each) => !("host" in each)) };
}
