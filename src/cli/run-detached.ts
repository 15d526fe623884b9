import { type Command, InvalidArgumentError, Option } from "commander";
import {
  type EgressPolicy,
  type Image,
  type MountOptions,
  type PublishOptions,
  parseEnv,
  parseRestartPolicy,
  type RestartPolicy,
  startDetached,
  UsageError,
  type VolumeOptions,
} from "../index.js";
import { collect } from "./options.js";

/** Options of `run` that only mean something with `--detach`. */
export interface DetachFlags {
  detach?: boolean;
  rm?: boolean;
  restart?: RestartPolicy;
  stopGrace?: number;
  label?: string[];
}

interface Workload {
  name: string | undefined;
  env: Record<string, string>;
  cwd?: string;
  user?: string;
  cmd?: readonly string[];
  entrypoint?: readonly string[];
  mounts: readonly MountOptions[];
  volumes: readonly VolumeOptions[];
  egress: EgressPolicy | undefined;
  publish: readonly PublishOptions[] | undefined;
  signal: AbortSignal;
}

/** Adds them to `run`. */
export function addDetachOptions(command: Command): Command {
  const restart = "with --detach: start it again when it ends: no, on-failure[:TIMES], always, unless-stopped";
  return command
    .option("-d, --detach", "let it run in the background, and print its name")
    .option("--rm", "with --detach: keep nothing of it once it has ended; otherwise that is always so")
    .addOption(new Option("--restart <policy>", restart).argParser(parseRestartPolicy))
    .option("--stop-grace <seconds>", "with --detach: how long it has to end after SIGTERM (default 10)", seconds)
    .option("-l, --label <name=value>", "with --detach: a label, shown by `supermachine inspect`", collect);
}

/** `run --detach`: starts the workload under a supervisor, and prints the VM's name. */
export async function runDetached(image: Image, flags: DetachFlags, workload: Workload): Promise<void> {
  const vm = await startDetached(image, {
    ...workload,
    labels: parseEnv(flags.label ?? []),
    remove: flags.rm,
    restart: flags.restart,
    ...(flags.stopGrace !== undefined && { graceMs: flags.stopGrace * 1_000 }),
  });
  process.stdout.write(`${vm.name}\n`);
}

/** @throws UsageError when an option for VMs in the background is used for one that is not, or the other way round */
export function checkDetachFlags(flags: DetachFlags & { interactive?: boolean; tty?: boolean }): void {
  if (flags.detach && (flags.interactive || flags.tty)) throw new UsageError("--detach leaves nobody for -i and -t");
  if (flags.detach) return;
  const used = (["restart", "stopGrace", "label"] as const).find((name) => flags[name] !== undefined);
  if (used)
    throw new UsageError(`--${used === "stopGrace" ? "stop-grace" : used} is for VMs in the background`, {
      hint: "Add --detach.",
    });
}

/** Parses an amount of seconds, fractions allowed. */
export function seconds(text: string): number {
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text)) throw new InvalidArgumentError("It is a number of seconds.");
  return Number(text);
}
