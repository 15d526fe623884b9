import { Command } from "commander";
import { codesignQemu } from "../index.js";
import { onInterrupt } from "./interrupt.js";
import { printJson } from "./table.js";

const MORE = `
macOS lets only those programs use its hypervisor whose signature says so. QEMU from Homebrew has such a signature; one that was
built or copied by hand may not. The signature needs no certificate and holds on this machine. Other systems ask for none: there the
command says so, and its exit code is 0, too.

Examples:
  supermachine codesign
  SUPERMACHINE_QEMU=./MyApp.app/Contents/Resources/qemu-system-aarch64 supermachine codesign`;
const TEXTS = {
  signed: "was signed; it may use the hypervisor now",
  granted: "may use the hypervisor already",
  "not needed": "needs no signature: only macOS asks for one",
} as const;

/** `supermachine codesign`: the signature that QEMU needs on macOS. */
export function codesignCommand(): Command {
  return new Command("codesign")
    .option("--json", "print JSON")
    .addHelpText("after", MORE)
    .action(async ({ json }: { json?: boolean }) => {
      const result = await codesignQemu({ signal: onInterrupt() });
      if (json) return printJson(result);
      process.stderr.write(`${result.path} ${TEXTS[result.outcome]}\n`);
    });
}
