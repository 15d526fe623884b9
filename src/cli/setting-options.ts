import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { parseEnvFile, parseUlimit, type Rlimits, SupermachineError } from "../index.js";

const UNITS: Record<string, number> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** Options that say what the guest and its processes are like, by docker's names for them. */
export interface SettingFlags {
  ulimit?: Rlimits;
  sysctl?: Record<string, string>;
  shmSize?: number;
  hostname?: string;
  envFile?: string[];
}

export function ulimitOption(): Option {
  return new Option(
    "--ulimit <name=soft[:hard]>",
    "limit of a resource, such as nofile=1024; can be repeated",
  ).argParser(addUlimit);
}

export function shmSizeOption(): Option {
  return new Option("--shm-size <size>", "size of /dev/shm, such as 64m (default: half of the memory)").argParser(
    bytes,
  );
}

export function addSettingOptions(command: Command): Command {
  const sysctl = new Option("--sysctl <name=value>", "kernel parameter of the guest; can be repeated");
  const envFile = new Option(
    "--env-file <file>",
    "set the variables that a file lists, one NAME=value a line; can be repeated",
  );
  return command
    .helpOption("--help", "display help for command")
    .option("-h, --hostname <name>", "host name of the microVM")
    .addOption(ulimitOption())
    .addOption(sysctl.argParser(addSysctl))
    .addOption(shmSizeOption())
    .addOption(envFile.argParser(addEnvFile));
}

function addUlimit(text: string, former: Rlimits = {}): Rlimits {
  return { ...former, ...asArgument(() => parseUlimit(text)) };
}

function addSysctl(text: string, former: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It is NAME=VALUE, such as net.core.somaxconn=1024.");
  return { ...former, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Gives the lines, as `--env` has them. */
function addEnvFile(path: string, former: string[] = []): string[] {
  return [...former, ...asArgument(() => parseEnvFile(readFileSync(path, "utf8"), path))];
}

/** An amount of memory as docker writes it, in bytes unless it says otherwise. */
export function bytes(text: string): number {
  const [, count, unit = ""] = /^(\d{1,12})([bkmg])?b?$/i.exec(text) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  if (count === undefined || factor === undefined)
    throw new InvalidArgumentError("It is a number of bytes, or one with k, m or g.");
  return Number(count) * factor;
}

function asArgument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (SupermachineError.is(error)) throw new InvalidArgumentError(error.message);
    if (error instanceof Error && "code" in error) throw new InvalidArgumentError(error.message);
    throw error;
  }
}
