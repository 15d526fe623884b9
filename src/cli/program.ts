import { Command } from "commander";
import { version } from "../index.js";
import { doctorCommand } from "./doctor.js";
import { execCommand } from "./exec.js";
import { imagesCommand } from "./images.js";
import { inspectCommand } from "./inspect.js";
import { killCommand } from "./kill.js";
import { logsCommand } from "./logs.js";
import { pruneCommand } from "./prune.js";
import { psCommand } from "./ps.js";
import { pullCommand } from "./pull.js";
import { pushCommand } from "./push.js";
import { rmCommand } from "./rm.js";
import { rmiCommand } from "./rmi.js";
import { runCommand } from "./run.js";
import { saveCommand } from "./save.js";
import { setupCommand } from "./setup.js";
import { stopCommand } from "./stop.js";
import { versionCommand } from "./version.js";
import { volumeCommand } from "./volume.js";

/** In the order of the help. */
const COMMANDS = [
  runCommand,
  execCommand,
  psCommand,
  logsCommand,
  inspectCommand,
  stopCommand,
  killCommand,
  rmCommand,
  pullCommand,
  pushCommand,
  saveCommand,
  imagesCommand,
  rmiCommand,
  volumeCommand,
  pruneCommand,
  setupCommand,
  doctorCommand,
  versionCommand,
];

/** The whole command line; a wrong use of it throws commander's CommanderError. */
export function program(): Command {
  const supermachine = new Command("supermachine")
    .description("Runs any OCI/Docker image as a microVM that is restored from a snapshot, not booted.")
    .version(version, "--version")
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ showGlobalOptions: false });
  for (const command of COMMANDS) supermachine.addCommand(command().exitOverride());
  return supermachine;
}
