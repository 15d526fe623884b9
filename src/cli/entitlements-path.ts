import { Command } from "commander";
import { entitlementsPath } from "../index.js";

const MORE = `
It is for applications that bring a QEMU along and sign it with their own certificate. Only macOS asks for it; the file is
there everywhere, so that an application can be put together on another system.

Example:
  codesign --sign "Developer ID" --entitlements "$(supermachine entitlements-path)" qemu-system-aarch64`;

/** `supermachine entitlements-path`. */
export function entitlementsPathCommand(): Command {
  return new Command("entitlements-path").addHelpText("after", MORE).action(() => {
    process.stdout.write(`${entitlementsPath}\n`);
  });
}
