import { type Command, Option } from "commander";
import type { Writable, WritableOptions } from "../index.js";
import { wholeNumber } from "./options.js";

/** What the root of a microVM is written to. */
export interface WritableFlags {
  writable?: Writable | undefined;
  diskMib?: number | undefined;
}

export function addWritableOptions(command: Command): Command {
  const writable = new Option(
    "--writable <place>",
    "keep what is written to the root in memory (default) or on a disk",
  );
  return command
    .addOption(writable.choices(["memory", "disk"]))
    .option(
      "--disk-mib <n>",
      "size of that disk in MiB, of which only what is written takes space (default 8192)",
      wholeNumber,
    );
}

export function writableOf({ writable, diskMib }: WritableFlags): WritableOptions {
  return { writable, diskMiB: diskMib };
}
