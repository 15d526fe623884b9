import { type Command, Option } from "commander";
import type { Ready } from "../index.js";
import { wholeNumber } from "./options.js";

/** Options that say at which moment a snapshot is taken. */
export interface ReadyFlags {
  ready?: Ready;
  guestPort?: number;
}

const KINDS: readonly Ready[] = ["start", "listener", "before-workload"];

/** Adds them to a command that bakes. */
export function addReadyOptions(command: Command): Command {
  const ready =
    "bake it with nothing running (start, the default), with the image's command listening (listener), or so that each microVM starts that afresh (before-workload)";
  return command
    .addOption(new Option("--ready <moment>", ready).choices(KINDS))
    .option("--guest-port <port>", "TCP port that the image's command listens on (default 80)", wholeNumber);
}
