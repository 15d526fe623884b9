import type { Argument, Option } from "commander";
import type { Completion } from "./complete.js";

/** Something that can be typed, and what it is. */
export interface Candidate {
  value: string;
  about?: string;
}

type Values = () => Promise<Candidate[]>;

/** Names of arguments and of options' values in the help, where the shell knows best what there is. */
const FILES = new Set(["dir", "file", "path", "context", "folder", "destination"]);
/** Commands that are for VMs that have ended, too. */
const OF_ENDED_VMS = new Set(["rm", "logs", "inspect", "start", "restart"]);

// The library is loaded when there is something to ask it: flags and commands come quicker without.

const vms =
  (all: boolean): Values =>
  async () => {
    const { listVms } = await import("../../index.js");
    return (await listVms({ all })).map(({ name, image, status }) => ({ value: name, about: `${image}, ${status}` }));
  };

const snapshots: Values = async () => {
  const { listImages } = await import("../../index.js");
  return (await listImages()).map(({ name, reference }) => ({ value: name, about: reference }));
};

const volumes: Values = async () => {
  const { listVolumes } = await import("../../index.js");
  return (await listVolumes()).map(({ name, sizeMiB }) => ({ value: name, about: `${sizeMiB} MiB` }));
};

/** By the long name of the option. */
const OPTIONS: Record<string, Values> = {
  "--image": snapshots,
  "--volume": volumes,
};

/** What an option's value can be. */
export async function optionValues({ long, flags }: Option): Promise<Completion> {
  const values = OPTIONS[long ?? ""];
  return { candidates: values ? await values() : [], files: FILES.has(placeholder(flags)) };
}

/** What an argument of a command can be. */
export async function positionalValues(command: string, argument: Argument, current: string): Promise<Completion> {
  if (argument.argChoices) return { candidates: argument.argChoices.map((value) => ({ value })), files: false };
  const values = sourceOf(command, argument.name());
  // Folders of bundles and of layouts can be images, too.
  const files = FILES.has(argument.name()) || (values === snapshots && /^[./~]/.test(current));
  return { candidates: values ? await values() : [], files };
}

function sourceOf(command: string, argument: string): Values | undefined {
  if (["target", "vm"].includes(argument) || (command === "exec" && argument === "args")) {
    return vms(OF_ENDED_VMS.has(command));
  }
  if (["image", "source"].includes(argument)) return snapshots;
  return argument === "name" && ["inspect", "rm"].includes(command) ? volumes : undefined;
}

/** `dir` of `--into <dir>`. */
function placeholder(flags: string): string {
  return /[<[]([^>\].]+)/.exec(flags)?.[1] ?? "";
}
