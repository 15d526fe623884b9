import { Command } from "commander";
import { findVm } from "../index.js";
import { portNumber } from "./options.js";
import { printJson } from "./table.js";

interface PortFlags {
  port?: number;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  supermachine port web
  curl "http://$(supermachine port web --port 80)/"`;

/** `supermachine port`: where the ports of a VM are reached. */
export function portCommand(): Command {
  return new Command("port")
    .argument("[target]", "a VM's name or the beginning of one, a port or an image; without one, the only VM")
    .option("--port <guest>", "only where this port of the guest is", portNumber)
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (target: string | undefined, { port, json }: PortFlags) => {
      const { ports = [], http } = await (await findVm(target)).inspect();
      const served = http && { ...{ protocol: "http", host: new URL(http.url).hostname }, ...http };
      const wanted = [...(served ? [served] : []), ...ports].filter(
        ({ guestPort }) => port === undefined || guestPort === port,
      );
      if (json) return printJson(wanted);
      for (const { protocol, host, hostPort, guestPort } of wanted) {
        const at = `${host.includes(":") ? `[${host}]` : host}:${hostPort}`;
        process.stdout.write(port === undefined ? `${guestPort}/${protocol} -> ${at}\n` : `${at}\n`);
      }
      if (wanted.length === 0) process.exitCode = 1;
    });
}
