import { type Command, Option } from "commander";
import { type BuildOptions, parseSecret, parseSsh, type Rlimits, type SecretSource } from "../index.js";
import { collect, goDuration } from "./options.js";
import { shmSizeOption, ulimitOption } from "./setting-options.js";

/** Options of `build` that say what its RUN instructions find around them. */
export interface BuildRunFlags {
  secret?: string[];
  ssh?: string[];
  network?: "default" | "none";
  addHost?: string[];
  ulimit?: Rlimits;
  shmSize?: number;
  runTimeout?: number;
}

export function addBuildRunOptions(command: Command): Command {
  return command
    .option(
      "--secret <id=name[,src=file|,env=VARIABLE]>",
      "secret for RUN --mount=type=secret; can be repeated",
      collect,
    )
    .option(
      "--ssh <default|id=socket|id=keyfile[,keyfile]>",
      "ssh-agent for RUN --mount=type=ssh and git by SSH; can be repeated",
      collect,
    )
    .addOption(new Option("--network <mode>", "network of RUN instructions").choices(["default", "none"]))
    .option("--add-host <name:ip>", "line of /etc/hosts for RUN instructions; can be repeated", collect)
    .option("--run-timeout <time>", "kill a RUN instruction that takes longer, such as 90s or 1h30m", goDuration)
    .addOption(ulimitOption())
    .addOption(shmSizeOption());
}

/** @throws UsageError */
export function buildRunOptions(
  flags: BuildRunFlags,
): Pick<BuildOptions, "secrets" | "ssh" | "ulimits" | "shmMiB" | "hosts" | "runTimeoutMs"> {
  const { secret = [], ssh = [], addHost = [], ulimit, shmSize, runTimeout } = flags;
  return {
    secrets: Object.fromEntries(secret.map(secretOf)),
    ssh: Object.fromEntries(ssh.map(sshOf)),
    ulimits: ulimit,
    shmMiB: shmSize === undefined ? undefined : shmSize / 2 ** 20,
    runTimeoutMs: runTimeout,
    hosts: Object.fromEntries(addHost.map(hostOf)),
  };
}

function secretOf(text: string): [string, SecretSource] {
  const { id, source } = parseSecret(text);
  return [id, source];
}

function sshOf(text: string): [string, string[]] {
  const { id, paths } = parseSsh(text);
  return [id, paths];
}

/** As docker has it, `NAME:IP` or `NAME=IP`; an IPv6 address may be in brackets. */
function hostOf(text: string): [string, string] {
  const [, name = text, address = ""] = /^([^:=]+)[:=](.*)$/.exec(text) ?? [];
  return [name, address.replace(/^\[(.*)\]$/, "$1")];
}
