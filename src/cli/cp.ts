import { Command } from "commander";
import { findVm, type RunningVm, UsageError } from "../index.js";
import { onInterrupt } from "./interrupt.js";

interface CopyFlags {
  archive?: boolean;
  followLink?: boolean;
  outsideLinks?: boolean;
}

const EXAMPLES = `
Where things go is as with docker cp: a folder that is there gets the copy under its own name, any other destination becomes the copy,
and FOLDER/. is what is in the folder. What is copied out of a VM is taken for hostile: devices, pipes, set-user-ID, and links
that lead out of the copy are left out, and named on standard error.

Examples:
  supermachine cp ./project web:/src
  supermachine cp web:/var/log/. ./logs
  tar -c . | supermachine cp - web:/src
  supermachine cp web:/etc - | tar -t`;

/** `supermachine cp`: files into a VM that runs in the background, or out of it. */
export function cpCommand(): Command {
  return new Command("cp")
    .usage("[options] <path | -> <target:path>\n       supermachine cp [options] <target:path> <path | ->")
    .argument("<from>", "a path here, TARGET:PATH, or - for a tar archive on standard input")
    .argument("<to>", "TARGET:PATH, a path here, or - for a tar archive on standard output")
    .option("-a, --archive", "keep the owners' numbers; without it files belong to root in the VM, here to you")
    .option("-L, --follow-link", "copy what symbolic links lead to; out of a VM, what the path itself leads to")
    .option("--outside-links", "out of a VM: keep links that lead out of the copy")
    .addHelpText("after", EXAMPLES)
    .action(async (from: string, to: string, flags: CopyFlags) => {
      const [source, target] = [parsePlace(from), parsePlace(to)];
      if ((source.vm === undefined) === (target.vm === undefined)) {
        throw new UsageError("one of the two places is in a VM: TARGET:PATH", {
          hint: "Write ./NAME for a file here whose name has a colon.",
        });
      }
      const vm = await findVm(source.vm ?? target.vm);
      const options = { followSymlinks: flags.followLink ?? false, signal: onInterrupt() };
      await (source.vm === undefined ? copyIn(vm, from, target.path) : copyOut(vm, source.path, to))(flags, options);
    });
}

type Copy = (flags: CopyFlags, options: { followSymlinks: boolean; signal: AbortSignal }) => Promise<void>;

function copyIn(vm: RunningVm, from: string, guest: string): Copy {
  return async (flags, options) => {
    const owned = { ...options, ...(!flags.archive && { owner: "0:0" }) };
    if (from === "-") await vm.copyInArchive(process.stdin, guest, owned);
    else await vm.copyIn(from, guest, owned);
  };
}

function copyOut(vm: RunningVm, guest: string, to: string): Copy {
  return async ({ archive = false, outsideLinks = false }, options) => {
    if (to === "-") return vm.copyOutArchive(guest, process.stdout, options);
    const kept = { preserveOwner: archive, keepOutsideLinks: outsideLinks };
    const { skipped, setuid } = await vm.copyOut(guest, to, { ...options, ...kept });
    for (const { path, reason } of skipped) process.stderr.write(`supermachine: left out ${path}: ${reason}\n`);
    for (const path of setuid) process.stderr.write(`supermachine: ${path} is not set-user-ID any more\n`);
  };
}

/** `TARGET:PATH`; as with docker, what has a slash before its first colon is a path here. */
function parsePlace(text: string): { vm?: string; path: string } {
  const colon = text.indexOf(":");
  if (colon <= 0 || text.slice(0, colon).includes("/") || text.startsWith(".")) return { path: text };
  const path = text.slice(colon + 1);
  if (path === "") throw new UsageError(`${JSON.stringify(text)} names no path in the VM`);
  return { vm: text.slice(0, colon), path };
}
