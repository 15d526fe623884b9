import { type Command, Option } from "commander";
import { type Image, type Ready, UsageError } from "../index.js";
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

/** What they come to. @throws UsageError when the image is served, for which there are options of their own */
export function readyOf({ ready, guestPort }: ReadyFlags, isServed: boolean): ReadyFlags {
  if (isServed && (ready !== undefined || guestPort !== undefined))
    throw new UsageError("--ready and --guest-port are not for --http-port", {
      hint: "Use --server-ready and --port.",
    });
  return { ...(ready && { ready }), ...(guestPort !== undefined && { guestPort }) };
}

/** @throws UsageError when the snapshot, which was named, was taken at another moment or for another port */
export function checkReady(image: Image, { ready = image.ready, guestPort = image.guestPort }: ReadyFlags): void {
  if (ready === image.ready && guestPort === image.guestPort) return;
  throw new UsageError(`the snapshot ${image.name} was taken for ${image.ready} and port ${image.guestPort}`, {
    hint: `Bake another one from ${image.reference}.`,
  });
}
